-- name: take_key
-- Is the key free at this moment, for as long as this connection lives; and was it used before?
SELECT coalesce(pg_try_advisory_lock(x'52544204'::int, hashtext(%(key)s)), true),
       EXISTS (SELECT FROM idempotency_keys WHERE key = %(key)s);

-- name: begin_loading
WITH loading AS MATERIALIZED (
    INSERT INTO orders (account_id, name, workload, priority, labels, not_before, max_failures,
                        time_limit, state)
    SELECT rtb_account(%(account)s, %(closed)s), %(name)s, %(workload)s, %(priority)s,
           %(labels)s::jsonb, %(not_before)s::timestamptz, %(max_failures)s,
           %(time_limit)s::float8, 'loading'
    RETURNING id
)
SELECT id, pg_advisory_lock(%(lock_class)s, (id %% 2147483648)::int) FROM loading;

-- name: go_on_loading
-- Keeps whoever would discard the order waiting until this batch is committed.
WITH loading AS MATERIALIZED (
    SELECT account_id FROM orders WHERE id = %(order)s AND state = 'loading' FOR SHARE
)
SELECT rtb_check_cap(account_id, %(more)s) FROM loading;

-- name: names_there
SELECT name FROM units WHERE order_id = %(order)s AND name = ANY (%(names)s::text[]);

-- name: conclude_loading
SELECT rtb_check_key(%(key)s, %(fingerprint)s) WHERE %(key)s::text IS NOT NULL;
SELECT rtb_open_order(%(order)s);
SELECT rtb_conclude_placing(%(key)s, %(fingerprint)s, %(order)s, %(more)s::jsonb);
