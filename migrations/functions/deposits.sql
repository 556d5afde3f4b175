-- Money that waits for operators.

-- The rail of a listed deposit, if it is final money on an account of ours that nobody has been given. The signature must
-- be locked by the caller. A debt is no money, what was netted out is not there, and what waits to be settled has an owner.
create or replace function deposit_rail(u unattributed_deposits) returns text language plpgsql as $$
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
create or replace function credit_deposit(p_id bigint, p_user uuid, p_note text, p_sol_price_micro bigint, p_trace text,
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

-- An operator says which invoice an unattributed deposit is for; it is settled like any payment of that invoice.
create or replace function attribute_deposit(p_id bigint, p_invoice text, p_note text, p_sol_price_micro bigint, p_trace text,
    out outcome text, out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_deposit unattributed_deposits;
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
    if deposit_rail(v_deposit) is null then
        outcome := 'nothing_to_attribute';
        return;
    end if;
    perform from invoices i join deposit_accounts d on d.rail = i.rail and d.recipient = i.address
    where i.id = p_invoice and d.account = v_deposit.account for update of i;
    if not found then
        outcome := 'invoice_does_not_fit';
        return;
    end if;
    insert into chain_credits (signature, account, invoice_id, units, state)
    values (v_deposit.signature, v_deposit.account, p_invoice, v_deposit.units, 'finalized')
    on conflict (signature, account, invoice_id) do nothing;
    if not found then
        outcome := 'invoice_was_credited';
        return;
    end if;
    update unattributed_deposits u
    set resolved_at = clock_timestamp(), resolution = 'attributed', invoice_id = p_invoice, note = p_note
    where u.id = p_id;
    outcome := 'attributed';
    select s.topics, s.messages into topics, messages
    from settle_chain_invoices(array[p_invoice], false, p_sol_price_micro, p_trace) as s;
    if cardinality(topics) > 0 then
        batch_id := keep_events(topics, messages);
    end if;
end
$$;

-- A page of unattributed deposits after the row with this worth and number (the first one when they are null). Planned
-- anew for each call: with its filters, not for any.
create or replace function unattributed_page(p_state text, p_order text, p_reason text, p_rail text, p_account text, p_invoice text,
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

revoke execute on function
    deposit_rail(unattributed_deposits), credit_deposit(bigint, uuid, text, bigint, text),
    attribute_deposit(bigint, text, text, bigint, text),
    unattributed_page(text, text, text, text, text, text, text, bigint, bigint, integer)
    from public;

grant execute on function
    credit_deposit(bigint, uuid, text, bigint, text), attribute_deposit(bigint, text, text, bigint, text),
    unattributed_page(text, text, text, text, text, text, text, bigint, bigint, integer)
    to quittance_api;
