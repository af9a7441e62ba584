// pg-boss's worker: batches of 1,000, woken by NOTIFY; each job goes created, active, completed.
import { createRequire } from 'node:module';

const { PgBoss } = createRequire(process.env.BENCH_MODULES + '/')('pg-boss');
const boss = new PgBoss({ connectionString: process.env.BENCH_DATABASE, useListenNotify: true });
boss.on('error', (error) => console.error(error));
await boss.start();
const options = { batchSize: 1000, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true };
await boss.work('bench', options, async () => {});
