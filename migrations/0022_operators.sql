-- What operators read and do about money from outside: lists that go on for as long as there are rows, and the books
-- against the chain.

-- In the order of worth, what may be worth anything comes first.
create index unattributed_by_worth on unattributed_deposits ((coalesce(worth_micro, 9223372036854775807)), id);
create index unattributed_open_by_worth on unattributed_deposits ((coalesce(worth_micro, 9223372036854775807)), id)
    where resolved_at is null;
create index unattributed_by_reason on unattributed_deposits (reason, id);
create index unattributed_open_by_reason on unattributed_deposits (reason, id) where resolved_at is null;
create index unattributed_by_account on unattributed_deposits (account, id);
create index unattributed_by_invoice on unattributed_deposits (invoice_id, id) where invoice_id is not null;
create index unattributed_by_signature on unattributed_deposits (signature);

create index parked_jobs_open_by_id on parked_jobs (id) where resolved_at is null;
create index parked_jobs_by_queue on parked_jobs (queue, id);

create index operator_actions_by_time on operator_actions (at, id);
create index operator_actions_by_action on operator_actions (action, at, id);
create index operator_actions_by_target on operator_actions (target, at, id);

-- A page of unattributed deposits after the row with this worth and number (the first one when they are null). Planned
-- anew for each call: with its filters, not for any.
create function unattributed_page(p_state text, p_order text, p_reason text, p_rail text, p_account text, p_invoice text,
    p_signature text, p_worth_micro bigint, p_id bigint, p_limit integer)
returns setof unattributed_deposits language plpgsql stable set search_path = public, pg_temp as $$
begin
    return query execute format(
        'select u.* from unattributed_deposits u where %s and %s
             and ($1 is null or u.reason = $1)
             and ($2 is null or u.account = any (array(select d.account from deposit_accounts d where d.rail = $2)))
             and ($3 is null or u.account = $3) and ($4 is null or u.invoice_id = $4)
             and ($5 is null or u.signature = $5)
         order by %s limit $8',
        case p_state when 'open' then 'u.resolved_at is null' when 'resolved' then 'u.resolved_at is not null'
                     else 'true' end,
        case when p_id is null then 'true' when p_order = 'worth' then
                 '(coalesce(u.worth_micro, 9223372036854775807), u.id) < ($6, $7)'
             when p_order = 'oldest' then 'u.id > $7' else 'u.id < $7' end,
        case p_order when 'worth' then 'coalesce(u.worth_micro, 9223372036854775807) desc, u.id desc'
                     when 'oldest' then 'u.id' else 'u.id desc' end)
    using p_reason, p_rail, p_account, p_invoice, p_signature, coalesce(p_worth_micro, 9223372036854775807), p_id,
          p_limit;
end
$$;

create function parked_page(p_state text, p_order text, p_queue text, p_id bigint, p_limit integer)
returns setof parked_jobs language plpgsql stable set search_path = public, pg_temp as $$
begin
    return query execute format(
        'select j.* from parked_jobs j where %s and %s and ($1 is null or j.queue = $1) order by %s limit $3',
        case p_state when 'open' then 'j.resolved_at is null' when 'resolved' then 'j.resolved_at is not null'
                     else 'true' end,
        case when p_id is null then 'true' when p_order = 'oldest' then 'j.id > $2' else 'j.id < $2' end,
        case p_order when 'oldest' then 'j.id' else 'j.id desc' end)
    using p_queue, p_id, p_limit;
end
$$;

-- Newest first, by time and then by number.
create function actions_page(p_action text, p_target text, p_since timestamptz, p_until timestamptz, p_at timestamptz,
    p_id bigint, p_limit integer)
returns setof operator_actions language plpgsql stable set search_path = public, pg_temp as $$
begin
    return query execute
        'select a.* from operator_actions a
         where (a.at, a.id) < (coalesce($5, ''infinity''), coalesce($6, 0)) and a.at < $4 and a.at >= $3
             and ($1 is null or a.action = $1) and ($2 is null or a.target = $2)
         order by a.at desc, a.id desc limit $7'
    using p_action, p_target, coalesce(p_since, '-infinity'), coalesce(p_until, 'infinity'), p_at, p_id, p_limit;
end
$$;

-- The books of a day are added up by rows; what came before was added up once, when it equalled the chain. The audit
-- adds all of it up again.
alter table reconciliations
    add column mark_slot bigint,
    add column mark_units numeric(40, 0),
    add column marked_at timestamptz,
    add constraint reconciliations_mark_complete check (
        (mark_slot is null) = (mark_units is null) and (mark_units is null) = (marked_at is null));

-- What final transactions did to an account after one slot and up to another, by slot.
create function moved_units(p_account text, p_after bigint, p_upto bigint)
returns table (slot bigint, units numeric) language sql stable set search_path = public, pg_temp as $$
    select m.slot, sum(m.units) from (
        select p.slot, p.net_units::numeric as units from chain_payments p
        where p.account = p_account and p.state = 'finalized' and p.slot > p_after and p.slot <= p_upto
        union all
        select o.slot, -o.units::numeric from chain_outflows o
        where o.account = p_account and o.slot > p_after and o.slot <= p_upto) as m
    group by m.slot
$$;

-- What an account holds at the end of a slot by the books; null before they begin.
create function books_at(p_account text, p_slot bigint) returns numeric
language sql stable set search_path = public, pg_temp as $$
    select b.units + coalesce((select sum(m.units) from moved_units(p_account, b.slot, p_slot) as m), 0)
    from (select coalesce(r.mark_slot, d.opening_slot) as slot, coalesce(r.mark_units, d.opening_units) as units
          from deposit_accounts d left join reconciliations r on r.account = d.account
          where d.account = p_account) as b
    where b.slot <= p_slot
$$;

-- The same; or, if that is another amount than p_units, that amount, if the books say it in a slot up to p_upto: there
-- are nodes that show a newer balance than the slot they name.
create function books_near(p_account text, p_slot bigint, p_upto bigint, p_units numeric) returns numeric
language sql stable set search_path = public, pg_temp as $$
    with base as materialized (select books_at(p_account, p_slot) as units)
    select coalesce((
        select l.units from (
            select b.units + sum(m.units) over (order by m.slot) as units
            from moved_units(p_account, p_slot, p_upto) as m) as l
        where l.units = p_units and b.units <> p_units limit 1), b.units)
    from base b
$$;

revoke execute on function
    unattributed_page(text, text, text, text, text, text, text, bigint, bigint, integer),
    parked_page(text, text, text, bigint, integer),
    actions_page(text, text, timestamptz, timestamptz, timestamptz, bigint, integer),
    moved_units(text, bigint, bigint), books_at(text, bigint), books_near(text, bigint, bigint, numeric)
    from public;
grant execute on function
    unattributed_page(text, text, text, text, text, text, text, bigint, bigint, integer),
    parked_page(text, text, text, bigint, integer),
    actions_page(text, text, timestamptz, timestamptz, timestamptz, bigint, integer)
    to quittance_api;
grant execute on function
    moved_units(text, bigint, bigint), books_at(text, bigint), books_near(text, bigint, bigint, numeric)
    to quittance_worker;
