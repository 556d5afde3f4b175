-- What base units are worth.

-- Base units of one whole token.
create or replace function units_per_token(rail text) returns numeric language sql immutable as $$
    select case rail when 'sol-native' then 1000000000 else 1000000 end::numeric
$$;

-- What base units are worth at the invoice's locked rate, micro-USD, rounded down; at most what can be counted.
create or replace function units_worth_micro(i invoices, units numeric) returns bigint language sql immutable as $$
    select least(div(units * coalesce(i.fx_micro_per_token, 1000000), units_per_token(i.rail)), 9223372036854775807)::bigint
$$;

-- The base units that pay the invoice: rounded up, as its payment URI asks for.
create or replace function units_due(i invoices) returns numeric language sql immutable as $$
    -- Without a subquery: so it becomes a part of whatever expression asks.
    select div(i.amount_micro * units_per_token(i.rail) + coalesce(i.fx_micro_per_token, 1000000) - 1,
               coalesce(i.fx_micro_per_token, 1000000))
$$;

-- The base units that an invoice still asks for: what landed in time counts, final or not.
create or replace function units_remaining(i invoices) returns numeric language plpgsql stable as $$
begin
    return greatest(0, units_due(i) - coalesce((
        select sum(c.units) from chain_credits c
        join chain_payments p on p.signature = c.signature and p.account = c.account
        where c.invoice_id = i.id and c.state <> 'reversed' and least(p.block_time, p.seen_at) <= i.expires_at), 0));
end
$$;

-- Micro-USD of one whole token that pays no invoice in time: a dollar, or the lower of the locked and the current price of
-- a SOL; null while that is not known.
create or replace function rest_price_micro(p_rail text, p_locked_micro bigint, p_sol_price_micro bigint) returns bigint
language sql immutable as $$
    select case when p_rail <> 'sol-native' then 1000000
                when p_sol_price_micro is not null then least(p_locked_micro, p_sol_price_micro) end
$$;

-- What base units are worth at a price of one whole token, micro-USD, rounded down.
create or replace function worth_micro_at(p_units numeric, p_price_micro bigint, p_rail text) returns numeric
language sql immutable as $$
    select div(p_units * p_price_micro, units_per_token(p_rail))
$$;

revoke execute on function
    units_per_token(text), units_worth_micro(invoices, numeric), units_due(invoices), units_remaining(invoices),
    rest_price_micro(text, bigint, bigint), worth_micro_at(numeric, bigint, text)
    from public;

grant execute on function
    units_per_token(text), units_worth_micro(invoices, numeric), units_due(invoices)
    to quittance_api, quittance_watcher, quittance_worker;

grant execute on function
    units_remaining(invoices)
    to quittance_api;
