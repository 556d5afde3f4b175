-- The end of invoices by time.

-- The sweep of overdue invoices reads a bounded number of rows, however many there are and however far behind it is: with
-- ten million invoices the plan that Postgres keeps for it read all of them each time, and no invoice expired any more.

-- Where a window ends that begins after p_from and holds at least p_rows invoices by their expiry (more when some share the
-- last one's, which the api gives to one at a time): p_until, when there are fewer.
create or replace function expiry_window(p_from timestamptz, p_until timestamptz, p_rows integer) returns timestamptz
language sql stable as $$
    select coalesce(
        (select i.expires_at from invoices i where i.expires_at > p_from and i.expires_at <= p_until
         order by i.expires_at offset p_rows - 1 limit 1),
        p_until)
$$;

-- Where a window ends that begins after p_from and holds at least p_rows invoices by the end of their grace, see
-- expiry_window.
create or replace function grace_window(p_from timestamptz, p_until timestamptz, p_rows integer) returns timestamptz
language sql stable as $$
    select coalesce(
        (select i.grace_until from invoices i where i.grace_until > p_from and i.grace_until <= p_until
         order by i.grace_until offset p_rows - 1 limit 1),
        p_until)
$$;

-- Ends invoices, and returns their events.
create or replace function end_invoices(p_invoices text[], p_at timestamptz, p_trace text, out topics text[], out messages text[])
language plpgsql as $$
begin
    with due as (
        select i.id from invoices i
        where i.id = any (p_invoices) and i.status = 'pending' and not i.payment_confirming
        order by i.id for update skip locked
    ), swept as (
        update invoices i set status = 'expired', version = i.version + 1
        from due where i.id = due.id
        returning i.id, i.version, i.user_id, i.status, i.amount_micro, i.payments_received_micro
    )
    select array_agg('invoice:' || s.id),
           array_agg(invoice_event('invoice_expired', s.id, s.version, p_trace, s.user_id, s.status, s.amount_micro,
                                   s.payments_received_micro, p_at))
    into topics, messages from swept s;
end
$$;

-- Ends invoices of one deposit account whose time was over when its history was last read: what is not known to have landed
-- in time did not, once everything that was found by then has been looked at. Bounded like the walk by grace.
create or replace function expire_read(p_key text, p_rail text, p_recipient text, p_slot bigint, p_until timestamptz, p_limit integer,
    p_at timestamptz, p_trace text, out topics text[], out messages text[], out has_more boolean)
language plpgsql as $$
declare
    v_last timestamptz := p_until - interval '1 microsecond';
    v_from timestamptz;
    v_next timestamptz;
begin
    has_more := false;
    if exists (select from chain_signatures s where s.state = 'found' and s.note is null and s.slot <= p_slot) then
        return;
    end if;
    insert into sweep_cursors (name, at) values ('read:' || p_key, p_at - interval '1 hour') on conflict do nothing;
    select c.at into v_from from sweep_cursors c where c.name = 'read:' || p_key for update;
    v_next := expiry_window(v_from, v_last, 2000);
    if v_next <= v_from then
        return;
    end if;
    select e.topics, e.messages into topics, messages from end_invoices(array(
        select i.id from invoices i
        where i.expires_at > v_from and i.expires_at <= v_next and i.status = 'pending' and not i.payment_confirming
          and i.rail = p_rail and i.address = p_recipient
        order by i.expires_at limit p_limit), p_at, p_trace) as e;
    has_more := v_next < v_last or coalesce(cardinality(topics), 0) >= p_limit;
    -- What somebody holds is waited for, but not by all those behind it: its grace ends, too.
    update sweep_cursors c set at = least(v_next, case when topics is not null or v_next = v_last then
        (select min(i.expires_at) - interval '1 microsecond' from invoices i
         where i.expires_at > v_from and i.expires_at <= v_next and i.status = 'pending' and not i.payment_confirming
           and i.rail = p_rail and i.address = p_recipient)
    end)
    where c.name = 'read:' || p_key;
end
$$;

-- Expires overdue invoices, some at a time, in one worker at a time; rows that somebody holds are left for the next call.
-- They end as soon as their account's history was read past their time, and with their grace at the latest.
-- No index names the status (see invoices_by_grace), so the scan starts where the last one ended; a second,
-- slow round over all older invoices finds what the first should have and did not.
create or replace function expire_invoices(p_limit integer, p_trace text,
    out expired integer, out has_more boolean, out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_at          timestamptz := clock_timestamp();
    v_from        timestamptz;
    v_until       timestamptz;
    v_round       timestamptz;
    v_round_until timestamptz;
    v_count       integer;
    v_key         record;
    v_read        record;
begin
    expired := 0;
    has_more := false;
    select c.at into v_from from sweep_cursors c where c.name = 'expiry' for update skip locked;
    if not found then
        return;
    end if;
    select c.at into v_round from sweep_cursors c where c.name = 'expiry_round';
    v_until := grace_window(v_from, v_at, 5000);
    -- The last seconds are read again each time (see below), and so must be read whole.
    if v_until > v_at - interval '5 seconds' then
        v_until := v_at;
    end if;
    v_round_until := grace_window(v_round, v_at, 2000);
    select e.topics, e.messages into topics, messages from end_invoices(array(
        select o.id from (
            select i.id from invoices i
            where i.grace_until > v_from and i.grace_until <= v_until and i.status = 'pending' and not i.payment_confirming
            union
            select i.id from invoices i
            where i.grace_until > v_round and i.grace_until <= v_round_until and i.status = 'pending'
              and not i.payment_confirming) as o
        order by o.id limit p_limit), v_at, p_trace) as e;
    v_count := coalesce(cardinality(topics), 0);
    has_more := v_count >= p_limit or v_until < v_at;
    -- Five seconds of slack: no invoice is created that late before its own expiry. What somebody holds is waited for, but
    -- not by all those behind it.
    update sweep_cursors c set at = greatest(c.at, least(
        v_until, v_at - interval '5 seconds',
        case when v_count > 0 or v_until = v_at then
            (select min(i.grace_until) - interval '1 microsecond' from invoices i
             where i.grace_until > v_from and i.grace_until <= v_until and i.status = 'pending'
               and not i.payment_confirming)
        end))
    where c.name = 'expiry';
    update sweep_cursors c set at = case when v_round_until = v_at then '-infinity' else v_round_until end
    where c.name = 'expiry_round';

    for v_key in
        select k.key, d.rail, d.recipient, k.read_slot, least(k.read_until, v_at) as read_until
        from watched_keys k join deposit_accounts d on d.account = k.key
        where k.read_until is not null and k.read_slot is not null order by k.key
    loop
        exit when v_count >= p_limit;
        select * into v_read from expire_read(v_key.key, v_key.rail, v_key.recipient, v_key.read_slot, v_key.read_until,
                                              p_limit - v_count, v_at, p_trace);
        v_count := v_count + coalesce(cardinality(v_read.topics), 0);
        topics := topics || v_read.topics; messages := messages || v_read.messages;
        has_more := has_more or v_read.has_more;
    end loop;
    expired := v_count;
    if expired > 0 then
        batch_id := keep_events(topics, messages);
    end if;
end
$$;

-- The sweep passes invoices whose payment is being confirmed. When it comes to nothing, the sweep must look again; the lock
-- keeps one that is under way, and may have seen the payment still, from going past it once more.
create or replace function expiry_looks_again() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from sweep_cursors c where c.name = 'expiry' for update;
    update sweep_cursors c set at = new.grace_until - interval '1 microsecond'
    where c.name = 'expiry' and c.at >= new.grace_until;
    update sweep_cursors c set at = new.expires_at - interval '1 microsecond'
    from deposit_accounts d
    where d.rail = new.rail and d.recipient = new.address and c.name = 'read:' || d.account and c.at >= new.expires_at;
    return null;
end
$$;

create or replace trigger invoices_unconfirmed after update of payment_confirming on invoices for each row
when (old.payment_confirming and not new.payment_confirming and new.status = 'pending')
execute function expiry_looks_again();

revoke execute on function
    expiry_window(timestamptz, timestamptz, integer), grace_window(timestamptz, timestamptz, integer),
    end_invoices(text[], timestamptz, text), expire_read(text, text, text, bigint, timestamptz, integer, timestamptz, text),
    expire_invoices(integer, text), expiry_looks_again()
    from public;

grant execute on function
    expire_invoices(integer, text)
    to quittance_worker;
