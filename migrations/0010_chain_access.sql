-- How the processes take part in following the chain, and what each may do.

-- Notes signatures to examine. What is known already is only hurried, if it waits.
create function note_signatures(p_signatures text[], p_slots bigint[], p_source text, p_priority smallint)
returns integer language sql security definer set search_path = public, pg_temp as $$
    with noted as (
        insert into chain_signatures as s (signature, slot, source, priority)
        select distinct on (n.signature) n.signature, n.slot, p_source, p_priority
        from unnest(p_signatures, p_slots) as n (signature, slot)
        order by n.signature
        on conflict (signature) do update set
            slot = coalesce(excluded.slot, s.slot), state = 'found', attempts = 0,
            priority = greatest(s.priority, excluded.priority), next_at = least(s.next_at, excluded.next_at)
        where s.state = 'dropped' or s.state = 'found' and s.priority < excluded.priority
        returning 1
    )
    select count(*)::integer from noted
$$;

-- Takes signatures in one state to examine them; if whoever took them dies, they are due again after p_hold.
create function take_signatures(p_state text, p_limit integer, p_hold interval)
returns table (signature text, slot bigint, source text, attempts integer, found_at timestamptz)
language sql security definer set search_path = public, pg_temp as $$
    with due as (
        select s.signature from chain_signatures s
        -- Said in the words of the partial index, and by a clock that stands still: else the planner reads the table.
        where s.state = p_state and s.state in ('found', 'confirmed') and s.next_at <= now()
        order by s.priority desc, s.next_at limit p_limit for update skip locked
    )
    update chain_signatures s set next_at = clock_timestamp() + p_hold, attempts = s.attempts + 1
    where s.signature = any (array(select d.signature from due d))
    returning s.signature, s.slot, s.source, s.attempts, s.found_at
$$;

-- Takes invoices whose reference is due for a look-up, and plans the next one: often while they are young, daily for
-- p_days after their end, then never. Half of them are the ones due last, so that a backlog of old invoices does not
-- hold up the young.
create function take_references(p_limit integer, p_days integer)
returns table (invoice_id text, reference text)
language sql security definer set search_path = public, pg_temp as $$
    with oldest as (
        select s.invoice_id from reference_sweeps s where s.next_at <= now()
        order by s.next_at limit p_limit / 2 for update skip locked
    ), newest as (
        select s.invoice_id from reference_sweeps s where s.next_at <= now()
        order by s.next_at desc limit p_limit - p_limit / 2 for update skip locked
    ), due as (
        select i.id, i.reference_pubkey, case
            when effective_status(i, clock_timestamp()) <> 'pending' then
                case when i.expires_at > clock_timestamp() - make_interval(days => p_days) then interval '1 day' end
            when i.created_at > clock_timestamp() - interval '2 minutes' then interval '10 seconds'
            when i.created_at > clock_timestamp() - interval '1 hour' then interval '1 minute'
            else interval '15 minutes'
        end as pause
        from invoices i
        where i.id = any (array(select o.invoice_id from oldest o union select n.invoice_id from newest n))
    ), planned as (
        update reference_sweeps s set next_at = clock_timestamp() + d.pause
        from due d where s.invoice_id = d.id and d.pause is not null
    ), ended as (
        delete from reference_sweeps s using due d where s.invoice_id = d.id and d.pause is null
    )
    select d.id, d.reference_pubkey from due d
$$;

revoke execute on all functions in schema public from public;
grant usage on schema public to quittance_watcher;
grant select on _sqlx_migrations, users, balances, transfers, adjustments, invoices, subscriptions, outbox_batches, outbox
    to quittance_watcher;
grant select on deposit_accounts, watched_keys, watchers, chain_signatures, reference_sweeps, chain_payments,
    chain_credits, unattributed_deposits, relay_transactions, submitted_signatures
    to quittance_api, quittance_worker, quittance_watcher;
grant execute on function
    units_per_token(text), units_worth_micro(invoices, numeric), units_due(invoices),
    note_signatures(text[], bigint[], text, smallint)
    to quittance_api, quittance_worker, quittance_watcher;
grant execute on function
    user_delta_micro(transfers), effective_status(invoices, timestamptz), unix_seconds(timestamptz),
    invoice_message(invoices, text, text, timestamptz), balance_message(transfers, bigint, text),
    mark_published(bigint[])
    to quittance_watcher;

-- api: lets operators decide about deposits. Submissions are stored by functions (0011_relay.sql).
grant update (resolved_at, resolution, note) on unattributed_deposits to quittance_api;
grant execute on function attribute_deposit(bigint, text, text, text) to quittance_api;

-- worker: broadcasts.
grant update (last_valid_height, state, accepted, reason, sends, next_at, updated_at) on relay_transactions
    to quittance_worker;

-- watcher: follows keys, records and settles.
grant insert, update, delete on watchers to quittance_watcher;
grant insert, update on watched_keys to quittance_watcher;
grant insert on deposit_accounts to quittance_watcher;
grant update (slot, state, priority, attempts, next_at, note), delete on chain_signatures to quittance_watcher;
grant insert on unattributed_deposits to quittance_watcher;
grant execute on function
    take_signatures(text, integer, interval), take_references(integer, integer),
    record_chain_payment(text, bigint, boolean, boolean, text[], bigint[], text[], text[], bigint[],
                         text[], bigint[], text[], text[], text),
    reverse_chain_payment(text, text), settle_ended_invoices(integer, text)
    to quittance_watcher;
