// pg-boss's client; what it reads and writes is described in client.py.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const require = createRequire(process.env.BENCH_MODULES + '/');
const { PgBoss } = require('pg-boss');
const { Client } = require('pg');
const PAUSE = 20, LOOK_EVERY = 1, LIMIT = 60_000;
const OUTCOME = "SELECT state = 'completed' AS done FROM pgboss.job WHERE id = $1";

const connectionString = process.env.BENCH_DATABASE;
const watch = new Client({ connectionString });
await watch.connect();
const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
await boss.start();
await boss.createQueue('bench', { notify: true });

async function timed() {
  await sleep(PAUSE);
  const began = performance.now();
  const id = await boss.send('bench', { i: 0 });
  for (;;) {
    const { rows } = await watch.query(OUTCOME, [id]);
    if (rows[0]?.done) return performance.now() - began;
    if (performance.now() - began > LIMIT) throw new Error(`a job took over ${LIMIT} ms`);
    await sleep(LOOK_EVERY);
  }
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [what, count] = line.split(' ');
  const answer = {};
  if (what === 'many') {
    const began = performance.now();
    await boss.insert('bench', Array.from({ length: Number(count) }, (_, i) => ({ data: { i } })));
    answer.seconds = (performance.now() - began) / 1000;
  } else {
    answer.ms = [];
    for (let k = 0; k < Number(count); k++) answer.ms.push(await timed());
  }
  console.log(JSON.stringify(answer));
}
process.exit(0);
