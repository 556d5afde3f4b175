-- Transactions that payers hand over.

-- Forgets what was handed in for an invoice more than an hour ago and came to nothing, and tells how long it takes no
-- more of it, in seconds; null when it takes some now. Called under the invoice's lock.
create or replace function submission_wait_seconds(p_invoice text, p_hourly_max bigint) returns integer language plpgsql as $$
declare
    v_since timestamptz := clock_timestamp() - interval '1 hour';
    v_at    timestamptz;
begin
    delete from relay_transactions r
    where r.invoice_id = p_invoice and r.state in ('failed', 'expired') and not r.accepted and r.created_at <= v_since;
    delete from submitted_signatures s where s.invoice_id = p_invoice and s.at <= v_since;
    -- When this one leaves the hour there is room.
    select h.at into v_at from (
        select r.created_at as at from relay_transactions r
        where r.invoice_id = p_invoice and not r.accepted and r.created_at > v_since
        union all
        select s.at from submitted_signatures s where s.invoice_id = p_invoice and s.at > v_since
    ) h order by h.at desc offset p_hourly_max - 1 limit 1;
    return case when v_at is not null then greatest(1, ceil(extract(epoch from v_at - v_since)))::integer end;
end
$$;

-- Answers what becomes of the transaction, or the invoice's status when that is not pending any more; why it was
-- refused, if it was; and how long to wait, if that helps.
create or replace function store_submission(
    p_invoice text, p_signature text, p_wire bytea, p_attempts_max bigint, p_hourly_max bigint,
    out answer text, out failure text, out wait_seconds integer)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_invoice invoices;
    v_known   relay_transactions;
begin
    select i.* into strict v_invoice from invoices i where i.id = p_invoice;
    select r.* into v_known from relay_transactions r where r.signature = p_signature;
    if v_known.signature is null then
        select i.* into strict v_invoice from invoices i where i.id = p_invoice for no key update;
        -- Read after the lock: the same transaction may have been stored while this call waited for it.
        select r.* into v_known from relay_transactions r where r.signature = p_signature;
    end if;
    if v_known.invoice_id <> p_invoice then
        answer := 'other_invoice';
        return;
    end if;
    answer := effective_status(v_invoice, clock_timestamp());
    if answer <> 'pending' then
        return;
    end if;
    if v_known.signature is not null then
        answer := case
            when v_known.state in ('failed', 'expired') then 'refused'
            when v_known.accepted or v_known.state <> 'sending' then 'accepted'
            else 'waiting'
        end;
        failure := v_known.failure;
        return;
    end if;
    -- A final one pays the invoice as soon as the watcher gets to it; if the invoice is open after that, it lacks the rest.
    if exists (select from relay_transactions r
               where r.invoice_id = p_invoice and (r.state in ('sending', 'confirmed') or r.state = 'finalized'
                   and not exists (select from chain_payments p where p.signature = r.signature and p.state = 'finalized')
                   and not exists (select from chain_signatures c where c.signature = r.signature and c.state = 'done')))
    then
        answer := 'another_under_way';
        return;
    end if;
    if v_invoice.payment_confirming and v_invoice.payments_received_micro >= v_invoice.amount_micro then
        answer := 'being_confirmed';
        return;
    end if;
    if (select count(*) from relay_transactions r where r.invoice_id = p_invoice and r.accepted) >= p_attempts_max then
        answer := 'exhausted';
        return;
    end if;
    wait_seconds := submission_wait_seconds(p_invoice, p_hourly_max);
    if wait_seconds is not null then
        answer := 'too_many';
        return;
    end if;
    -- The caller's job sends it first; the sweep only if that job is lost.
    insert into relay_transactions (signature, invoice_id, wire, next_at)
    values (p_signature, p_invoice, p_wire, clock_timestamp() + interval '3 seconds');
    answer := 'stored';
end
$$;

-- Notes a signature that a wallet says it broadcast itself.
create or replace function note_submission(
    p_invoice text, p_signature text, p_hourly_max bigint, out answer text, out wait_seconds integer)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_invoice invoices;
begin
    select i.* into strict v_invoice from invoices i where i.id = p_invoice for no key update;
    answer := effective_status(v_invoice, clock_timestamp());
    if answer <> 'pending' then
        return;
    end if;
    if exists (select from submitted_signatures s where s.invoice_id = p_invoice and s.signature = p_signature) then
        answer := 'noted';
        return;
    end if;
    wait_seconds := submission_wait_seconds(p_invoice, p_hourly_max);
    if wait_seconds is not null then
        answer := 'too_many';
        return;
    end if;
    insert into submitted_signatures (invoice_id, signature) values (p_invoice, p_signature);
    answer := 'noted';
end
$$;

-- Deletes what was submitted for invoices that ended, oldest first; returns how many went, of what went most.
create or replace function retire_submissions(p_before timestamptz, p_limit integer) returns bigint
language sql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    with old_relayed as (
        select r.signature from relay_transactions r
        where r.state not in ('sending', 'confirmed') and r.created_at < p_before
          and exists (select from invoices i where i.id = r.invoice_id and i.status <> 'pending')
        order by r.created_at limit p_limit for update skip locked
    ), old_noted as (
        select s.invoice_id, s.signature from submitted_signatures s
        where s.at < p_before
          and exists (select from invoices i where i.id = s.invoice_id and i.status <> 'pending')
        order by s.at limit p_limit for update skip locked
    ), relayed as (
        delete from relay_transactions r using old_relayed o where r.signature = o.signature returning 1
    ), noted as (
        delete from submitted_signatures s using old_noted o
        where s.invoice_id = o.invoice_id and s.signature = o.signature returning 1
    )
    select greatest((select count(*) from relayed), (select count(*) from noted))
$$;

revoke execute on function
    submission_wait_seconds(text, bigint), store_submission(text, text, bytea, bigint, bigint),
    note_submission(text, text, bigint), retire_submissions(timestamptz, integer)
    from public;

grant execute on function
    store_submission(text, text, bytea, bigint, bigint), note_submission(text, text, bigint)
    to quittance_api;

grant execute on function
    retire_submissions(timestamptz, integer)
    to quittance_worker;
