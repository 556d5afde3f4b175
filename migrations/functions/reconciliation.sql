-- The books of deposit accounts, held against the chain.

-- What final transactions did to an account after one slot and up to another, by slot.
create or replace function moved_units(p_account text, p_after bigint, p_upto bigint)
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
create or replace function books_at(p_account text, p_slot bigint) returns numeric
language sql stable set search_path = public, pg_temp as $$
    select b.units + coalesce((select sum(m.units) from moved_units(p_account, b.slot, p_slot) as m), 0)
    from (select coalesce(r.mark_slot, d.opening_slot) as slot, coalesce(r.mark_units, d.opening_units) as units
          from deposit_accounts d left join reconciliations r on r.account = d.account
          where d.account = p_account) as b
    where b.slot <= p_slot
$$;

-- The same; or, if that is another amount than p_units, that amount, if the books say it in a slot up to p_upto: there
-- are nodes that show a newer balance than the slot they name.
create or replace function books_near(p_account text, p_slot bigint, p_upto bigint, p_units numeric) returns numeric
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
    moved_units(text, bigint, bigint), books_at(text, bigint), books_near(text, bigint, bigint, numeric)
    from public;

grant execute on function
    moved_units(text, bigint, bigint), books_at(text, bigint), books_near(text, bigint, bigint, numeric)
    to quittance_worker;
