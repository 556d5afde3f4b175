-- Least privilege: processes read, insert what they own, and call the settlement functions. No role may write
-- balances, transfers, invoice states or events directly.
revoke create on schema public from public;
revoke execute on all functions in schema public from public;
grant usage on schema public to quittance_api, quittance_worker;
grant select on _sqlx_migrations to quittance_api, quittance_worker;

grant select on users, balances, transfers, adjustments, invoices, subscriptions, outbox_batches, outbox,
    sessions, operator_actions, parked_jobs, paused_queues, sweep_cursors
    to quittance_api, quittance_worker;
grant execute on function
    user_delta_micro(transfers), effective_status(invoices, timestamptz), unix_seconds(timestamptz),
    invoice_message(invoices, text, text, timestamptz), balance_message(transfers, bigint, text),
    mark_published(bigint[])
    to quittance_api, quittance_worker;

-- api: creates users, sessions and pending invoices; cancels; carries out operator actions.
grant insert on users, sessions, operator_actions, paused_queues to quittance_api;
grant insert (user_id) on balances to quittance_api;
grant insert (id, user_id, amount_micro, description, channel, rail, action, plan, months, client_request_id,
              client_request_hash, fx_micro_per_token, address, reference_pubkey, created_at, expires_at)
    on invoices to quittance_api;
-- Locking the user's row orders that user's invoice creations; the column itself never changes.
grant update (created_at) on users to quittance_api;
grant update (expires_at), delete on sessions to quittance_api;
grant update (resolved_at, resolution) on parked_jobs to quittance_api;
grant delete on paused_queues to quittance_api;
grant execute on function
    cancel_invoice(text, uuid, text), adjust_balance(uuid, bigint, text, text, text), set_balance_lock(uuid, boolean)
    to quittance_api;

-- worker: settles, sweeps, parks.
grant insert on parked_jobs to quittance_worker;
grant delete on sessions to quittance_worker;
grant execute on function
    settle_from_balance(text[], uuid[], text[]), expire_invoices(integer, text),
    unpublished_events(interval, integer), retire_events(timestamptz, integer)
    to quittance_worker;
