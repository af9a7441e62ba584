-- A share is written only when it changes: what goes from one flying status to another changes
-- none, and each version of a row that nobody needs makes the pick's index longer.
CREATE OR REPLACE FUNCTION rtb_book(deltas unit_delta[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    touched_accounts bigint[];
    touched_orders bigint[];
BEGIN
    IF cardinality(deltas) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO counters AS c
        (kind, id, waiting, sent, queued, processing, success, error, cancelled, ready,
         pace, paced_at, begun_at)
    SELECT kind, id,
           coalesce(sum(n) FILTER (WHERE status = 'waiting'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'sent'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'queued'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'processing'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'success'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'error'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'cancelled'), 0),
           coalesce(sum(n) FILTER (WHERE ready AND kind = 'order'), 0),
           coalesce(sum(n) FILTER (WHERE status IN ('success', 'error') AND n > 0), 0) / rtb_tau(),
           clock_timestamp(), NULL
      FROM (
          -- Of what still loads, only the order itself knows.
          SELECT 'account'::counter_kind AS kind, o.account_id AS id, d.status, d.ready, d.n
            FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
           WHERE o.state IN ('open', 'cancelling')
          UNION ALL
          SELECT 'box', d.box_id, d.status, d.ready, d.n
            FROM unnest(deltas) d WHERE d.box_id IS NOT NULL
          UNION ALL
          SELECT 'order', d.order_id, d.status, d.ready, d.n FROM unnest(deltas) d
          UNION ALL
          SELECT 'total', 0, d.status, d.ready, d.n
            FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
           WHERE o.state IN ('open', 'cancelling')
      ) keyed
     GROUP BY kind, id
     ORDER BY kind, id
    ON CONFLICT (kind, id) DO UPDATE SET
        waiting = c.waiting + EXCLUDED.waiting,
        sent = c.sent + EXCLUDED.sent,
        queued = c.queued + EXCLUDED.queued,
        processing = c.processing + EXCLUDED.processing,
        success = c.success + EXCLUDED.success,
        error = c.error + EXCLUDED.error,
        cancelled = c.cancelled + EXCLUDED.cancelled,
        ready = c.ready + EXCLUDED.ready,
        pace = CASE WHEN EXCLUDED.pace = 0 THEN c.pace ELSE EXCLUDED.pace + c.pace * exp(-least(
                   extract(epoch FROM EXCLUDED.paced_at - c.paced_at) / rtb_tau(), 100)) END,
        paced_at = CASE WHEN EXCLUDED.pace = 0 THEN c.paced_at ELSE EXCLUDED.paced_at END,
        begun_at = CASE WHEN EXCLUDED.pace = 0 THEN c.begun_at
                        WHEN c.begun_at IS NULL
                             OR c.paced_at < EXCLUDED.paced_at - make_interval(secs => 60)
                        THEN EXCLUDED.paced_at - make_interval(secs => 1)
                        ELSE c.begun_at END;

    SELECT array_agg(DISTINCT o.account_id), array_agg(DISTINCT o.id)
      INTO touched_accounts, touched_orders
      FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
     WHERE o.state IN ('open', 'cancelling');

    -- All shares of an account say the same of it, also one that begins later than the others.
    INSERT INTO shares AS s (account_id, workload, ready, weight, served, served_at)
    SELECT o.account_id, o.workload,
           coalesce(sum(d.n) FILTER (WHERE d.ready AND NOT o.barred), 0), min(a.weight),
           coalesce((SELECT max(x.served) FROM shares x WHERE x.account_id = o.account_id), 0),
           (SELECT max(x.served_at) FROM shares x WHERE x.account_id = o.account_id)
      FROM unnest(deltas) d
      JOIN orders o ON o.id = d.order_id
      JOIN accounts a ON a.id = o.account_id
     WHERE o.state IN ('open', 'cancelling')
     GROUP BY o.account_id, o.workload
    HAVING coalesce(sum(d.n) FILTER (WHERE d.ready AND NOT o.barred), 0) <> 0
        OR NOT EXISTS (SELECT FROM shares x
                        WHERE x.account_id = o.account_id AND x.workload = o.workload)
    ON CONFLICT (account_id, workload) DO UPDATE SET ready = s.ready + EXCLUDED.ready;

    UPDATE shares s
       SET flying = c.sent + c.queued + c.processing,
           served = CASE WHEN s.account_id = ANY (claimed.accounts) THEN g.claims
                         ELSE s.served END,
           served_at = CASE WHEN s.account_id = ANY (claimed.accounts) THEN now()
                            ELSE s.served_at END
      FROM counters c, gate g, (
          SELECT array_agg(o.account_id) AS accounts
            FROM unnest(deltas) d JOIN orders o ON o.id = d.order_id
           WHERE d.status = 'sent' AND d.n > 0
      ) claimed
     WHERE s.account_id = ANY (touched_accounts)
       AND c.kind = 'account' AND c.id = s.account_id
       AND (s.flying <> c.sent + c.queued + c.processing
            OR s.account_id = ANY (claimed.accounts));

    UPDATE orders o
       SET finished_at = CASE WHEN c.waiting + c.sent + c.queued + c.processing = 0
                              THEN coalesce(o.finished_at, now()) END,
           ready = NOT o.barred AND c.ready > 0
      FROM counters c
     WHERE o.id = ANY (touched_orders) AND c.kind = 'order' AND c.id = o.id
       AND ((o.finished_at IS NULL) = (c.waiting + c.sent + c.queued + c.processing = 0)
            OR o.ready <> (NOT o.barred AND c.ready > 0));
END $$;
