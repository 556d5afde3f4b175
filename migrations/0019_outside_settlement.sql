-- What money from outside is worth, and whose it becomes. The locked rate of an invoice values exactly the units that pay
-- it in time, up to its price. Every other unit (too much, too late, after an end, parts at the end, what an operator gives
-- away) is worth the lower of the locked and the current price when it is settled, and waits while that is not known.
-- Worth is rounded down once for what is settled together, as a running sum: parts lose nothing to rounding.
-- Lock order everywhere: the signature, invoices by id, balances by user, dust by account.

alter table chain_credits
    -- It waits for the price of a SOL.
    add column awaits_price boolean not null default false,
    -- The deposit that an operator gave to its user.
    add column deposit_id bigint references unattributed_deposits (id);
drop index chain_credits_unsettled;
drop index chain_credits_to_user;
create unique index chain_credits_of_deposit on chain_credits (deposit_id) where deposit_id is not null;
-- What is to be settled, in the order in which it is tried: what has been settled is in neither.
create index chain_credits_to_settle on chain_credits (retry_at)
    where settled_at is null and state = 'finalized' and not awaits_price;
create index chain_credits_awaiting_price on chain_credits (retry_at)
    where settled_at is null and state = 'finalized' and awaits_price;

-- Micro-USD of one whole token that pays no invoice in time: a dollar, or the lower of the locked and the current price of
-- a SOL; null while that is not known.
create function rest_price_micro(p_rail text, p_locked_micro bigint, p_sol_price_micro bigint) returns bigint
language sql immutable as $$
    select case when p_rail <> 'sol-native' then 1000000
                when p_sol_price_micro is not null then least(p_locked_micro, p_sol_price_micro) end
$$;

-- What base units are worth at a price of one whole token, micro-USD, rounded down.
create function worth_micro_at(p_units numeric, p_price_micro bigint, p_rail text) returns numeric
language sql immutable as $$
    select div(p_units * p_price_micro, units_per_token(p_rail))
$$;

-- Credits a user from the treasury and returns the event; null, and nothing is done, when the balance would be more than
-- clients can read exactly. The balance row must be locked by the caller, or be about to be.
drop function credit_balance(uuid, text, bigint, text, text, timestamptz, text);
create function credit_balance(p_user uuid, p_rail text, p_amount_micro numeric, p_invoice text, p_payment text,
    p_at timestamptz, p_trace text) returns text
language plpgsql as $$
declare
    v_balance balances;
    v_after   numeric;
    v_id      bigint;
begin
    select * into strict v_balance from balances b where b.user_id = p_user for update;
    v_after := v_balance.amount_micro + p_amount_micro;
    if v_after > 9007199254740991 then
        return null;
    end if;
    insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, ref_payment_id,
                           user_id, user_balance_after, at)
    values ('treasury:' || p_rail, 'user:' || p_user::text, p_amount_micro, 'payment_credit', p_invoice, p_payment,
            p_user, v_after, p_at)
    returning id into v_id;
    update balances b set amount_micro = v_after, last_transfer_id = v_id, updated_at = p_at where b.user_id = p_user;
    return balance_event(v_id, v_balance.last_transfer_id, p_trace, p_user, p_amount_micro::bigint, v_after::bigint,
                         p_invoice, p_at);
end
$$;

-- The rail of a listed deposit, if it is final money on an account of ours that nobody has been given. The signature must
-- be locked by the caller. A debt is no money, what was netted out is not there, and what waits to be settled has an owner.
create function deposit_rail(u unattributed_deposits) returns text language plpgsql as $$
declare
    v_rail text;
    v_left numeric;
begin
    if u.reason in ('reversed_after_settlement', 'netted_out', 'awaiting_price', 'not_creditable') then
        return null;
    end if;
    select d.rail, p.net_units - p.dust_units - coalesce((
               select sum(c.units) from chain_credits c
               where c.signature = p.signature and c.account = p.account and c.state <> 'reversed'), 0)
    into v_rail, v_left
    from chain_payments p join deposit_accounts d on d.account = p.account
    where p.signature = u.signature and p.account = u.account and p.state = 'finalized';
    return case when v_left >= u.units then v_rail end;
end
$$;

-- An operator gives a listed deposit, of whatever rail, to a user's balance at what it is worth now.
create function credit_deposit(p_id bigint, p_user uuid, p_note text, p_sol_price_micro bigint, p_trace text,
    out outcome text, out worth_micro bigint, out new_balance_micro bigint,
    out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_deposit unattributed_deposits;
    v_rail    text;
    v_worth   numeric;
    v_at      timestamptz;
begin
    outcome := 'not_found';
    select * into v_deposit from unattributed_deposits u where u.id = p_id and u.resolved_at is null;
    if not found then
        return;
    end if;
    perform lock_signature(v_deposit.signature);
    select * into v_deposit from unattributed_deposits u where u.id = p_id and u.resolved_at is null for update;
    if not found then
        return;
    end if;
    v_rail := deposit_rail(v_deposit);
    if v_rail is null then
        outcome := 'nothing_to_attribute';
        return;
    end if;
    select b.amount_micro into new_balance_micro from balances b where b.user_id = p_user for update;
    if not found then
        outcome := 'unknown_user';
        return;
    end if;
    v_worth := worth_micro_at(v_deposit.units, rest_price_micro(v_rail, null, p_sol_price_micro), v_rail);
    if v_worth is null then
        outcome := 'price_missing';
        return;
    end if;
    v_at := clock_timestamp();
    -- What is worth less than a micro-dollar moves no balance.
    if v_worth > 0 then
        messages := array[credit_balance(p_user, v_rail, v_worth, null, v_deposit.signature, v_at, p_trace)];
        if messages[1] is null then
            outcome := 'balance_too_large';
            messages := null;
            return;
        end if;
        topics := array['balance:' || p_user::text];
        batch_id := keep_events(topics, messages);
    end if;
    insert into chain_credits (signature, account, user_id, deposit_id, units, state, worth_micro, settled_at)
    values (v_deposit.signature, v_deposit.account, p_user, p_id, v_deposit.units, 'finalized', v_worth, v_at);
    update unattributed_deposits u
    set resolved_at = v_at, resolution = 'credited', user_id = p_user, note = p_note where u.id = p_id;
    outcome := 'credited';
    worth_micro := v_worth;
    new_balance_micro := new_balance_micro + worth_micro;
end
$$;

revoke execute on function
    rest_price_micro(text, bigint, bigint), worth_micro_at(numeric, bigint, text),
    credit_balance(uuid, text, numeric, text, text, timestamptz, text), deposit_rail(unattributed_deposits),
    credit_deposit(bigint, uuid, text, bigint, text)
    from public;
grant execute on function credit_deposit(bigint, uuid, text, bigint, text) to quittance_api;
