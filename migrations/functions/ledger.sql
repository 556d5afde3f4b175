-- Balances, and the transfers that explain them.

-- Books are added to, never changed.
create or replace function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end
$$;

create or replace trigger transfers_immutable before update or delete on transfers
    for each row execute function refuse_change();

create or replace trigger transfers_not_truncated before truncate on transfers
    for each statement execute function refuse_change();

create or replace trigger operator_actions_immutable before update or delete on operator_actions
    for each row execute function refuse_change();

create or replace trigger operator_actions_not_truncated before truncate on operator_actions
    for each statement execute function refuse_change();

-- What the transfer did to its user's balance: credits rise it, debits lower it.
create or replace function user_delta_micro(t transfers) returns bigint language sql immutable as $$
    select case when starts_with(t.debit_account, 'user:') then -t.amount_micro else t.amount_micro end
$$;

-- What holds for every transfer.
create or replace function transfer_is_sound(t transfers) returns boolean language plpgsql immutable as $$
begin
    return (
        t.amount_micro > 0
        and t.debit_account <> t.credit_account
        -- The user whose balance moved is one of the two sides.
        and (t.user_id is null) = (t.user_balance_after is null)
        and (t.user_id is null
             or t.user_balance_after >= 0 and 'user:' || t.user_id::text in (t.debit_account, t.credit_account))
        -- Which accounts a kind moves money between, and in which direction.
        and case t.kind
            when 'invoice_debit' then starts_with(t.debit_account, 'user:') and t.credit_account = 'revenue'
                                      and t.user_id is not null and t.ref_invoice_id is not null
            when 'invoice_payment' then starts_with(t.debit_account, 'treasury:') and t.credit_account = 'revenue'
                                        and t.user_id is null and t.ref_invoice_id is not null
                                        and t.ref_payment_id is not null
            when 'payment_credit' then starts_with(t.debit_account, 'treasury:')
                                       and starts_with(t.credit_account, 'user:') and t.user_id is not null
                                       and t.ref_payment_id is not null
            when 'adjust' then 'adjustments' in (t.debit_account, t.credit_account) and t.user_id is not null
            when 'refund' then starts_with(t.credit_account, 'user:') and t.user_id is not null
        end
    ) is true;
end
$$;

-- The balance envelope of the console contract, with its stream position.
create or replace function balance_event(id bigint, previous bigint, trace_id text, user_id uuid, delta_micro bigint,
    balance_micro bigint, invoice_id text, at timestamptz)
returns text language sql stable as $$
    select '{"kind":"' || case when delta_micro < 0 then 'balance_debit' else 'balance_credit' end
        || '","position":' || id::text || ',"previous":' || previous::text
        || ',"trace_id":' || coalesce(to_json(trace_id)::text, 'null')
        || ',"data":{"kind":"' || case when delta_micro < 0 then 'balance_debit' else 'balance_credit' end
        || '","user_id":"' || user_id::text || '","delta_micro":' || delta_micro::text
        || ',"new_balance":' || balance_micro::text || ',"at":' || unix_seconds(at)::text
        || case when invoice_id is null then '' else ',"ref_invoice_id":"' || invoice_id || '"' end
        || '}}'
$$;

-- The same of a row.
create or replace function balance_message(t transfers, previous bigint, trace_id text)
returns jsonb language sql stable as $$
    select balance_event(t.id, previous, trace_id, t.user_id, user_delta_micro(t), t.user_balance_after,
                         t.ref_invoice_id, t.at)::jsonb
$$;

-- Credits a user from the treasury and returns the event; null, and nothing is done, when the balance would be more than
-- clients can read exactly. The balance row must be locked by the caller, or be about to be.
create or replace function credit_balance(p_user uuid, p_rail text, p_amount_micro numeric, p_invoice text, p_payment text,
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

-- Moves a balance by hand: positive credits, negative debits, never below zero, once per key.
create or replace function adjust_balance(p_user uuid, p_delta_micro bigint, p_reason text, p_key text, p_trace text,
    out outcome text, out entry_id bigint, out balance_micro bigint,
    out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_balance  balances;
    v_before   adjustments;
    v_transfer transfers;
begin
    select * into v_balance from balances b where b.user_id = p_user for update;
    if not found then
        outcome := 'user_not_found';
        return;
    end if;

    select * into v_before from adjustments a where a.user_id = p_user and a.idempotency_key = p_key;
    if found then
        if v_before.delta_micro <> p_delta_micro or v_before.reason <> p_reason then
            outcome := 'idempotency_conflict';
            return;
        end if;
        outcome := 'adjusted';
        select t.id, t.user_balance_after into entry_id, balance_micro
        from transfers t where t.id = v_before.transfer_id;
        return;
    end if;

    if v_balance.amount_micro + p_delta_micro < 0 then
        outcome := 'insufficient_balance';
        return;
    elsif v_balance.amount_micro + p_delta_micro > 9007199254740991 then
        outcome := 'balance_too_large';
        return;
    end if;

    outcome := 'adjusted';
    balance_micro := v_balance.amount_micro + p_delta_micro;
    insert into transfers (debit_account, credit_account, amount_micro, kind, user_id, user_balance_after, at)
    values (case when p_delta_micro > 0 then 'adjustments' else 'user:' || p_user::text end,
            case when p_delta_micro > 0 then 'user:' || p_user::text else 'adjustments' end,
            abs(p_delta_micro), 'adjust', p_user, balance_micro, clock_timestamp())
    returning * into v_transfer;
    entry_id := v_transfer.id;
    insert into adjustments (user_id, idempotency_key, delta_micro, reason, transfer_id)
    values (p_user, p_key, p_delta_micro, p_reason, entry_id);
    update balances b
    set amount_micro = balance_micro, last_transfer_id = entry_id, updated_at = v_transfer.at
    where b.user_id = p_user;
    select e.* into batch_id, topics, messages
    from emit_events(array['balance:' || p_user::text],
                     array[balance_message(v_transfer, v_balance.last_transfer_id, p_trace)]) as e;
end
$$;

-- Freezes or frees a balance; null when there is no such user, else the time it was locked, if it is.
create or replace function set_balance_lock(p_user uuid, p_locked boolean, out found_user boolean, out locked_since timestamptz)
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update balances b
    set locked_at = case when p_locked then coalesce(b.locked_at, clock_timestamp()) end,
        updated_at = case when p_locked = (b.locked_at is not null) then b.updated_at else clock_timestamp() end
    where b.user_id = p_user
    returning b.locked_at into locked_since;
    found_user := found;
end
$$;

revoke execute on function
    refuse_change(), user_delta_micro(transfers), transfer_is_sound(transfers),
    balance_event(bigint, bigint, text, uuid, bigint, bigint, text, timestamptz), balance_message(transfers, bigint, text),
    credit_balance(uuid, text, numeric, text, text, timestamptz, text), adjust_balance(uuid, bigint, text, text, text),
    set_balance_lock(uuid, boolean)
    from public;

grant execute on function
    user_delta_micro(transfers), balance_event(bigint, bigint, text, uuid, bigint, bigint, text, timestamptz),
    balance_message(transfers, bigint, text)
    to quittance_api, quittance_watcher, quittance_worker;

grant execute on function
    adjust_balance(uuid, bigint, text, text, text), set_balance_lock(uuid, boolean)
    to quittance_api;
