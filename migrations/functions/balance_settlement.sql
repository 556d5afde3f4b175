-- Invoices paid from the balance: what happens to a row when one is, from the decision to the last write. Lock order
-- everywhere: invoices by id, then balances by user.

-- What becomes of a request to pay an invoice from a balance (console contract §4.6), in the order of the checks.
create or replace function pay_outcome(i invoices, payer uuid, locked_at timestamptz, balance_micro bigint, at timestamptz)
returns text language sql stable as $$
    select case
        when i.id is null then 'invoice_not_found'
        when i.user_id <> payer then 'not_owner'
        when i.status = 'paid' then 'already_paid'
        when effective_status(i, at) <> 'pending' then 'invoice_not_pending'
        when i.action = 'topup' then 'invoice_is_topup'
        when locked_at is not null then 'balance_locked'
        when balance_micro < i.amount_micro then 'insufficient_balance'
        else 'paid'
    end
$$;

-- Settles one invoice: the same as a batch of one, without what only a batch needs.
create or replace function settle_one_from_balance(p_invoice text, p_user uuid, p_trace text,
    out outcome text, out balance_micro bigint, out batch_id bigint, out topics text[], out messages text[])
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_invoice invoices;
    v_balance balances;
    v_at      timestamptz;
    v_id      bigint;
begin
    select * into v_invoice from invoices i where i.id = p_invoice for update;
    select * into v_balance from balances b where b.user_id = p_user for update;
    -- Read after the locks: waiting for them must not let an expired invoice through.
    v_at := clock_timestamp();
    -- No balance row, no money.
    balance_micro := coalesce(v_balance.amount_micro, 0);
    outcome := pay_outcome(v_invoice, p_user, v_balance.locked_at, balance_micro, v_at);
    if outcome <> 'paid' then
        return;
    end if;

    balance_micro := balance_micro - v_invoice.amount_micro;
    insert into transfers (debit_account, credit_account, amount_micro, kind, ref_invoice_id, user_id,
                           user_balance_after, at)
    values ('user:' || p_user::text, 'revenue', v_invoice.amount_micro, 'invoice_debit', p_invoice, p_user,
            balance_micro, v_at)
    returning id into v_id;
    update invoices i set status = 'paid', paid_at = v_at, processed_at = v_at, version = i.version + 1
    where i.id = p_invoice;
    perform activate_subscriptions(array[p_user], array[v_invoice.plan], array[v_invoice.months::integer], v_at);
    update balances b set amount_micro = balance_micro, last_transfer_id = v_id, updated_at = v_at
    where b.user_id = p_user;

    topics := array['balance:' || p_user::text, 'invoice:' || p_invoice];
    messages := array[
        balance_event(v_id, v_balance.last_transfer_id, p_trace, p_user, -v_invoice.amount_micro, balance_micro,
                      p_invoice, v_at),
        invoice_event('invoice_paid', p_invoice, v_invoice.version + 1, p_trace, p_user, 'paid',
                      v_invoice.amount_micro, v_invoice.payments_received_micro, v_at)];
    batch_id := keep_events(topics, messages);
end
$$;

-- Settles invoices from their payers' balances: each request exact and in array order, as if they came one by one.
-- The (invoice, user) pairs must be distinct. The answer is one row: outcomes and balances by request,
-- and the events to publish now that the transaction is about to commit.
create or replace function settle_from_balance(
    p_invoices text[], p_users uuid[], p_traces text[],
    out outcomes text[], out balances_micro bigint[],
    out batch_id bigint, out topics text[], out messages text[]
) language plpgsql security definer set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    r           record;
    v_at        timestamptz;
    v_user      uuid;
    v_balance   bigint;
    v_last      bigint;
    v_outcome   text;
    v_id        bigint;
    -- What is posted: one element for each payment.
    n_transfers bigint[] := '{}';
    n_previous  bigint[] := '{}';
    n_invoices  text[] := '{}';
    n_versions  bigint[] := '{}';
    n_received  bigint[] := '{}';
    n_users     uuid[] := '{}';
    n_amounts   bigint[] := '{}';
    n_after     bigint[] := '{}';
    n_plans     text[] := '{}';
    n_months    integer[] := '{}';
    n_traces    text[] := '{}';
begin
    outcomes := array_fill(null::text, array[cardinality(p_invoices)]);
    balances_micro := array_fill(null::bigint, array[cardinality(p_invoices)]);

    perform from invoices i where i.id = any (p_invoices) order by i.id for update;
    perform from balances b where b.user_id = any (p_users) order by b.user_id for update;
    -- Read after the locks: waiting for them must not let an expired invoice through.
    v_at := clock_timestamp();

    -- Decide. One pass in (user, request) order carries each user's running balance.
    for r in
        select q.ord, q.user_id, q.trace, i as invoice, b.amount_micro as balance, b.locked_at, b.last_transfer_id
        from unnest(p_invoices, p_users, p_traces) with ordinality as q (invoice_id, user_id, trace, ord)
        left join invoices i on i.id = q.invoice_id
        left join balances b on b.user_id = q.user_id
        order by q.user_id, q.ord
    loop
        if v_user is distinct from r.user_id then
            v_user := r.user_id;
            -- No balance row, no money.
            v_balance := coalesce(r.balance, 0);
            v_last := r.last_transfer_id;
        end if;
        v_outcome := pay_outcome(r.invoice, r.user_id, r.locked_at, v_balance, v_at);
        if v_outcome = 'paid' then
            v_balance := v_balance - (r.invoice).amount_micro;
            v_id := nextval('transfers_id_seq');
            n_transfers := n_transfers || v_id;
            n_previous := n_previous || v_last;
            n_invoices := n_invoices || (r.invoice).id;
            n_versions := n_versions || (r.invoice).version;
            n_received := n_received || (r.invoice).payments_received_micro;
            n_users := n_users || r.user_id;
            n_amounts := n_amounts || (r.invoice).amount_micro;
            n_after := n_after || v_balance;
            n_plans := n_plans || (r.invoice).plan;
            n_months := n_months || (r.invoice).months::integer;
            n_traces := n_traces || r.trace;
            v_last := v_id;
        end if;
        outcomes[r.ord] := v_outcome;
        balances_micro[r.ord] := v_balance;
    end loop;

    if cardinality(n_transfers) = 0 then
        return;
    end if;

    insert into transfers (id, debit_account, credit_account, amount_micro, kind, ref_invoice_id, user_id,
                           user_balance_after, at)
    select n.id, 'user:' || n.user_id::text, 'revenue', n.amount_micro, 'invoice_debit', n.invoice_id, n.user_id,
           n.balance_after, v_at
    from unnest(n_transfers, n_users, n_amounts, n_invoices, n_after)
         as n (id, user_id, amount_micro, invoice_id, balance_after);

    update invoices i set status = 'paid', paid_at = v_at, processed_at = v_at, version = i.version + 1
    from unnest(n_invoices) as n (id)
    where i.id = n.id;

    perform activate_subscriptions(n_users, n_plans, n_months, v_at);

    update balances b set amount_micro = n.balance_after, last_transfer_id = n.id, updated_at = v_at
    from (select distinct on (m.user_id) m.user_id, m.id, m.balance_after
          from unnest(n_users, n_transfers, n_after) as m (user_id, id, balance_after)
          order by m.user_id, m.id desc) as n
    where b.user_id = n.user_id;

    select array_agg('balance:' || n.user_id::text),
           array_agg(balance_event(n.id, n.previous, n.trace, n.user_id, -n.amount_micro, n.balance_after,
                                   n.invoice_id, v_at))
    into topics, messages
    from unnest(n_transfers, n_previous, n_traces, n_users, n_amounts, n_after, n_invoices)
         as n (id, previous, trace, user_id, amount_micro, balance_after, invoice_id);
    select topics || array_agg('invoice:' || n.id),
           messages || array_agg(invoice_event('invoice_paid', n.id, n.version + 1, n.trace, n.user_id, 'paid',
                                               n.amount_micro, n.received_micro, v_at))
    into topics, messages
    from unnest(n_invoices, n_versions, n_traces, n_users, n_amounts, n_received)
         as n (id, version, trace, user_id, amount_micro, received_micro);
    batch_id := keep_events(topics, messages);
end
$$;

revoke execute on function
    pay_outcome(invoices, uuid, timestamptz, bigint, timestamptz), settle_one_from_balance(text, uuid, text),
    settle_from_balance(text[], uuid[], text[])
    from public;

grant execute on function
    settle_one_from_balance(text, uuid, text), settle_from_balance(text[], uuid[], text[])
    to quittance_worker;
