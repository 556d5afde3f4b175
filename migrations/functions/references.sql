-- When an invoice's reference is looked up by itself.

-- A new invoice is looked up for the first time.
create or replace function plan_reference_sweep() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into reference_sweeps (invoice_id, next_at) values (new.id, now() + interval '10 seconds');
    return null;
end
$$;

create or replace trigger invoices_reference_sweep after insert on invoices
    for each row when (starts_with(new.rail, 'sol-')) execute function plan_reference_sweep();

-- Takes invoices whose reference is due for a look-up; after p_hold they are due again, unless that is planned otherwise.
-- Half of them are the ones due last, so that a backlog of old invoices does not hold up the young. What a look-up cannot
-- find any more is forgotten: a paid invoice's account is followed anyway, and so is that of one long ended.
create or replace function take_references(p_limit integer, p_days integer, p_hold interval)
returns table (invoice_id text, reference text)
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from reference_sweeps s using invoices i
    where s.invoice_id in (select d.invoice_id from reference_sweeps d where d.next_at <= now() order by d.next_at limit 2000)
      and i.id = s.invoice_id
      and (i.status = 'paid' or i.status <> 'pending' and i.expires_at < now() - make_interval(days => p_days));
    return query
    with oldest as (
        select s.invoice_id from reference_sweeps s where s.next_at <= now()
        order by s.next_at limit p_limit / 2 for update skip locked
    ), newest as (
        select s.invoice_id from reference_sweeps s where s.next_at <= now()
        order by s.next_at desc limit p_limit - p_limit / 2 for update skip locked
    )
    update reference_sweeps s set next_at = clock_timestamp() + p_hold
    from invoices i
    where s.invoice_id = any (array(select o.invoice_id from oldest o union select n.invoice_id from newest n))
      and i.id = s.invoice_id
    returning s.invoice_id, i.reference_pubkey;
end
$$;

-- Plans the next look-ups of invoices whose references were looked up: often while they are young, ever more rarely after
-- their end.
create or replace function plan_references(p_invoices text[]) returns void
language sql security definer set search_path = public, pg_temp as $$
    update reference_sweeps s set next_at = clock_timestamp() + case
        when i.status <> 'pending' then greatest(clock_timestamp() - i.expires_at, interval '1 hour')
        when i.created_at > clock_timestamp() - interval '2 minutes' then interval '10 seconds'
        when i.created_at > clock_timestamp() - interval '1 hour' then interval '1 minute'
        else interval '15 minutes'
    end
    from invoices i where s.invoice_id = any (p_invoices) and i.id = s.invoice_id
$$;

-- Makes look-ups that failed due again soon.
create or replace function postpone_references(p_invoices text[], p_pause interval) returns void
language sql security definer set search_path = public, pg_temp as $$
    update reference_sweeps s set next_at = clock_timestamp() + p_pause where s.invoice_id = any (p_invoices)
$$;

revoke execute on function
    plan_reference_sweep(), take_references(integer, integer, interval), plan_references(text[]),
    postpone_references(text[], interval)
    from public;

grant execute on function
    take_references(integer, integer, interval), plan_references(text[]), postpone_references(text[], interval)
    to quittance_watcher;
