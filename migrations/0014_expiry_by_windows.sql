-- The sweep of overdue invoices reads a bounded number of rows, however many there are and however far behind it is: with
-- ten million invoices the plan that Postgres keeps for it read all of them each time, and no invoice expired any more.

-- Where a window ends that begins after p_from and holds at least p_rows invoices by their expiry (more when some share the
-- last one's, which the api gives to one at a time): p_until, when there are fewer.
create function expiry_window(p_from timestamptz, p_until timestamptz, p_rows integer) returns timestamptz
language sql stable as $$
    select coalesce(
        (select i.expires_at from invoices i where i.expires_at > p_from and i.expires_at <= p_until
         order by i.expires_at offset p_rows - 1 limit 1),
        p_until)
$$;

-- Expires overdue invoices, some at a time, in one worker at a time; rows that somebody holds are left for the next call.
-- No index names the status (see invoices_by_expiry), so the scan starts where the last one ended; a second,
-- slow round over all older invoices finds what the first should have and did not.
drop function expire_invoices(integer, text);
create function expire_invoices(p_limit integer, p_trace text,
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
    v_messages    jsonb[];
    v_topics      text[];
begin
    expired := 0;
    has_more := false;
    select c.at into v_from from sweep_cursors c where c.name = 'expiry' for update skip locked;
    if not found then
        return;
    end if;
    select c.at into v_round from sweep_cursors c where c.name = 'expiry_round';
    v_until := expiry_window(v_from, v_at, 5000);
    -- The last seconds are read again each time (see below), and so must be read whole.
    if v_until > v_at - interval '5 seconds' then
        v_until := v_at;
    end if;
    v_round_until := expiry_window(v_round, v_at, 2000);

    with overdue as (
        select i.id from invoices i
        where i.expires_at > v_from and i.expires_at <= v_until and i.status = 'pending' and not i.payment_confirming
        union
        select i.id from invoices i
        where i.expires_at > v_round and i.expires_at <= v_round_until and i.status = 'pending'
          and not i.payment_confirming
    ), due as (
        select i.id from invoices i
        where i.id in (select o.id from overdue o order by o.id limit p_limit)
          and i.status = 'pending' and not i.payment_confirming
        order by i.id for update skip locked
    ), swept as (
        update invoices i set status = 'expired', version = i.version + 1
        from due where i.id = due.id
        returning i as invoice
    )
    select count(*), array_agg('invoice:' || (s.invoice).id),
           array_agg(invoice_message(s.invoice, 'invoice_expired', p_trace, v_at))
    into expired, v_topics, v_messages from swept s;

    if expired > 0 then
        select e.* into batch_id, topics, messages from emit_events(v_topics, v_messages) as e;
    end if;
    has_more := expired >= p_limit or v_until < v_at;
    -- Five seconds of slack: no invoice is created that late before its own expiry. What somebody holds is waited for, but
    -- not by all those behind it.
    update sweep_cursors c set at = greatest(c.at, least(
        v_until, v_at - interval '5 seconds',
        case when expired > 0 or v_until = v_at then
            (select min(i.expires_at) - interval '1 microsecond' from invoices i
             where i.expires_at > v_from and i.expires_at <= v_until and i.status = 'pending'
               and not i.payment_confirming)
        end))
    where c.name = 'expiry';
    update sweep_cursors c set at = case when v_round_until = v_at then '-infinity' else v_round_until end
    where c.name = 'expiry_round';
end
$$;

-- The sweep passes invoices whose payment is being confirmed. When it comes to nothing, the sweep must look again; the lock
-- keeps one that is under way, and may have seen the payment still, from going past it once more.
create function expiry_looks_again() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from sweep_cursors c where c.name = 'expiry' for update;
    update sweep_cursors c set at = new.expires_at - interval '1 microsecond'
    where c.name = 'expiry' and c.at >= new.expires_at;
    return null;
end
$$;
create trigger invoices_unconfirmed after update of payment_confirming on invoices for each row
when (old.payment_confirming and not new.payment_confirming and new.status = 'pending')
execute function expiry_looks_again();

revoke execute on function
    expire_invoices(integer, text), expiry_window(timestamptz, timestamptz, integer), expiry_looks_again()
    from public;
grant execute on function expire_invoices(integer, text) to quittance_worker;
