-- The ledger's invariants: one row per check, with the number of violations and one example.
with deltas as (
    select t.id, t.user_id, user_delta_micro(t) as delta, t.user_balance_after as after_micro,
           lag(t.user_balance_after, 1, 0::bigint) over (partition by t.user_id order by t.id) as before_micro
    from transfers t where t.user_id is not null
), sums as (
    select user_id, sum(delta) as total, max(id) as last_id from deltas group by user_id
), accounts as (
    select account, sum(amount) as net
    from (select credit_account as account, amount_micro::numeric as amount from transfers
          union all select debit_account, -amount_micro::numeric from transfers) as sides
    group by account
), debits as (
    -- What settled each invoice: a debit of its owner's balance, or a payment from outside.
    select t.ref_invoice_id as invoice_id, count(*) as times, sum(t.amount_micro) as amount_micro,
           (array_agg(t.user_id))[1] as user_id, bool_or(t.kind = 'invoice_payment') as from_outside
    from transfers t where t.kind in ('invoice_debit', 'invoice_payment') group by t.ref_invoice_id
), chained as (
    -- What came in on chain for each invoice, what of it paid it, and what the rest that was settled was worth.
    select c.invoice_id, sum(c.paid_units) as paid_units, sum(c.worth_micro) as worth_micro,
           coalesce(sum(c.units - c.paid_units) filter (where c.settled_at is not null), 0) as rest_units,
           sum(c.units) filter (where c.state <> 'reversed') as kept_units,
           max(least(p.block_time, p.seen_at)) filter (where c.paid_units > 0) as paying_at,
           bool_or(c.settled_at is null and c.state = 'finalized' and p.updated_at < now() - interval '1 minute'
                   and (c.waits_for is null or not exists (
                        select from unattributed_deposits u
                        where u.signature = c.signature and u.account = c.account and u.invoice_id = c.invoice_id
                          and u.reason = c.waits_for))) as waiting
    from chain_credits c join chain_payments p using (signature, account)
    where c.invoice_id is not null group by c.invoice_id
), given as (
    -- What operators gave to users.
    select c.signature, c.user_id, sum(c.worth_micro) as worth_micro
    from chain_credits c where c.user_id is not null group by c.signature, c.user_id
), listed as (
    -- What operators were told of that belongs to nobody yet; a debt is no money, and neither is what was netted out.
    select u.signature, u.account, sum(u.units) as units from unattributed_deposits u
    where (u.resolution is null or u.resolution = 'dismissed')
      and u.reason not in ('reversed_after_settlement', 'netted_out', 'awaiting_price', 'not_creditable')
    group by u.signature, u.account
), credited as (
    select c.signature, c.account, sum(c.units) as units, array_agg(distinct c.state) as states
    from chain_credits c where c.state <> 'reversed' group by c.signature, c.account
), dust as (
    select p.account, count(*) as deposits, sum(p.dust_units) as units
    from chain_payments p where p.dust_units > 0 group by p.account
), treasury as (
    select t.ref_invoice_id as invoice_id, sum(t.amount_micro) as amount_micro,
           bool_or(t.user_id is distinct from i.user_id) filter (where t.kind = 'payment_credit') as to_others
    from transfers t left join invoices i on i.id = t.ref_invoice_id
    where starts_with(t.debit_account, 'treasury:') and t.ref_invoice_id is not null group by t.ref_invoice_id
), treasury_to_users as (
    select t.ref_payment_id as signature, t.user_id, sum(t.amount_micro) as amount_micro
    from transfers t where starts_with(t.debit_account, 'treasury:') and t.ref_invoice_id is null
    group by t.ref_payment_id, t.user_id
), months as (
    select user_id, plan, sum(months) as months from invoices
    where status = 'paid' and action <> 'topup' group by user_id, plan
), violations (name, example) as (
    -- What all users have is what all other accounts gave them.
    select 'debits_equal_credits', 'users have ' || b.total || ', the other accounts are at ' || a.total
    from (select coalesce(sum(amount_micro), 0) as total from balances) as b,
         (select coalesce(sum(net), 0) as total from accounts where not starts_with(account, 'user:')) as a
    where a.total + b.total <> 0
    union all
    select 'balance_is_sum_of_transfers',
           'user ' || b.user_id || ' has ' || b.amount_micro || ', transfers say ' || coalesce(s.total, 0)
    from balances b left join sums s using (user_id)
    where b.amount_micro <> coalesce(s.total, 0) or b.last_transfer_id <> coalesce(s.last_id, 0)
    union all
    select 'transfers_have_balances', 'user ' || s.user_id || ' has transfers and no balance'
    from sums s where not exists (select from balances b where b.user_id = s.user_id)
    union all
    select 'balances_not_negative', 'user ' || user_id || ' has ' || amount_micro from balances where amount_micro < 0
    union all
    select 'balance_chain', 'transfer ' || id || ' leaves ' || after_micro || ' after ' || before_micro || ' and ' || delta
    from deltas where after_micro <> before_micro + delta or after_micro < 0
    union all
    select 'one_debit_per_invoice', 'invoice ' || invoice_id || ' was debited ' || times || ' times'
    from debits where times > 1
    union all
    select 'paid_invoices_have_evidence', 'invoice ' || i.id || ' is paid, settled '
           || coalesce(d.amount_micro, 0) || ' of ' || i.amount_micro || ', on chain ' || coalesce(c.paid_units, 0)
           || ' of ' || units_due(i) || ' units'
    from invoices i left join debits d on d.invoice_id = i.id left join chained c on c.invoice_id = i.id
    where i.status = 'paid' and case
        when i.action = 'topup' then d.invoice_id is not null or coalesce(c.paid_units, 0) <> units_due(i)
        when d.from_outside then d.amount_micro <> i.amount_micro or coalesce(c.paid_units, 0) <> units_due(i)
        else d.amount_micro is distinct from i.amount_micro::numeric or d.user_id is distinct from i.user_id
             or c.paid_units > 0
    end
    union all
    -- Only what landed in time pays, and only what is paid.
    select 'paid_invoices_have_evidence', 'invoice ' || i.id || ' is ' || i.status || ', ended at ' || i.expires_at
           || ' and was paid on chain at ' || c.paying_at
    from invoices i join chained c on c.invoice_id = i.id
    where c.paid_units > 0 and (i.status <> 'paid' or c.paying_at > i.expires_at)
    union all
    -- What was settled left the treasury, to the invoice's owner: its price when it was paid, and the worth of the rest.
    select 'chain_credits_are_posted', 'invoice ' || coalesce(c.invoice_id, t.invoice_id) || ' was credited '
           || coalesce(c.amount_micro, 0) || ' on chain, the treasury gave ' || coalesce(t.amount_micro, 0)
           || case when t.to_others then ', to another user' else '' end
    from (select c.invoice_id, coalesce(c.worth_micro, 0) + case when c.paid_units > 0 then i.amount_micro else 0 end
                 as amount_micro
          from chained c join invoices i on i.id = c.invoice_id) as c
    full join treasury t using (invoice_id)
    where coalesce(c.amount_micro, 0) <> coalesce(t.amount_micro, 0) or t.to_others
    union all
    select 'chain_credits_are_posted', 'user ' || user_id || ' was given ' || coalesce(g.worth_micro, 0)
           || ' of transaction ' || signature || ', the treasury gave ' || coalesce(t.amount_micro, 0)
    from given g full join treasury_to_users t using (signature, user_id)
    where coalesce(g.worth_micro, 0) <> coalesce(t.amount_micro, 0)
    union all
    -- Nothing is credited that did not come, and nothing that came for good is forgotten.
    select 'chain_credits_are_backed', 'transaction ' || p.signature || ' is ' || p.state || ', moved ' || p.net_units
           || ' and credits ' || coalesce(c.units, 0) || ', listed are ' || coalesce(l.units, 0) || ', too little are '
           || p.dust_units
    from chain_payments p left join credited c using (signature, account) left join listed l using (signature, account)
    where coalesce(c.units, 0) > p.net_units or c.states <> array[p.state]
       or p.state = 'finalized' and coalesce(c.units, 0) + coalesce(l.units, 0) + p.dust_units <> p.net_units
    union all
    select 'chain_credits_are_backed', 'account ' || account || ' has ' || coalesce(d.units, 0) || ' in deposits that are '
           || 'worth too little to be listed, counted are ' || coalesce(k.units, 0)
    from dust d full join deposit_dust k using (account)
    where (d.deposits, d.units) is distinct from (k.deposits, k.units)
    union all
    -- The rest is worth no more than at the locked rate.
    select 'chain_credits_are_backed', 'invoice ' || i.id || ' was credited ' || c.worth_micro || ' for units worth '
           || units_worth_micro(i, c.rest_units)
    from chained c join invoices i on i.id = c.invoice_id where c.worth_micro > units_worth_micro(i, c.rest_units)
    union all
    select 'chain_progress_is_shown', 'invoice ' || i.id || ' shows ' || i.payments_received_micro || ' received of '
           || units_worth_micro(i, coalesce(c.kept_units, 0))
    from invoices i left join chained c on c.invoice_id = i.id
    where starts_with(i.rail, 'sol-')
      and i.payments_received_micro <> units_worth_micro(i, coalesce(c.kept_units, 0))
    union all
    select 'ended_invoices_keep_nothing', 'invoice ' || i.id || ' is ' || i.status || ' and holds final money'
    from invoices i join chained c on c.invoice_id = i.id
    where c.waiting and i.status <> 'pending' and coalesce(i.paid_at, i.grace_until) < now() - interval '1 minute'
    union all
    select 'debits_have_paid_invoices', 'invoice ' || d.invoice_id || ' was debited and is ' || coalesce(i.status, 'unknown')
    from debits d left join invoices i on i.id = d.invoice_id where i.status is distinct from 'paid'
    union all
    select 'paid_months_are_activated', 'user ' || user_id || ' plan ' || plan || ': paid ' || coalesce(m.months, 0)
           || ' months, activated ' || coalesce(s.months_purchased, 0)
    from months m full join subscriptions s using (user_id, plan)
    where m.months is distinct from s.months_purchased
    union all
    select 'events_are_published', 'batch ' || b.id || ' of ' || b.created_at || ' is unpublished'
    from outbox_batches b where b.published_at is null and b.created_at < now() - interval '1 minute'
    union all
    select 'payments_have_events', 'transfer ' || t.id || ' has no event'
    from transfers t
    where t.user_id is not null and t.at >= (select min(created_at) from outbox_batches)
      and not exists (select from outbox o where o.topic = 'balance:' || t.user_id::text
                      and (o.message ->> 'position')::bigint = t.id)
    union all
    select 'payments_have_events', 'invoice ' || i.id || ' is paid without an event'
    from invoices i
    where i.status = 'paid' and i.paid_at >= (select min(created_at) from outbox_batches)
      and not exists (select from outbox o where o.topic = 'invoice:' || i.id and o.message ->> 'kind' = 'invoice_paid')
    union all
    -- As a worker found out last: it asks the chain.
    select 'books_equal_the_chain', 'account ' || r.account || ' held ' || r.theirs || ' in slot ' || r.slot
           || ', the books say ' || r.ours
    from reconciliations r where not r.ok
    union all
    -- What was added up once is still the sum.
    select 'books_equal_the_chain', 'account ' || b.account || ' was said to have held ' || b.mark_units || ' in slot '
           || b.mark_slot || ', the rows say ' || coalesce(b.units, 0)
    from (
        select r.account, r.mark_slot, r.mark_units, d.opening_units
               + coalesce((select sum(p.net_units) from chain_payments p
                           where p.account = r.account and p.state = 'finalized'
                             and p.slot > d.opening_slot and p.slot <= r.mark_slot), 0)
               - coalesce((select sum(o.units) from chain_outflows o
                           where o.account = r.account and o.slot > d.opening_slot and o.slot <= r.mark_slot), 0) as units
        from reconciliations r join deposit_accounts d using (account) where r.mark_slot is not null
    ) as b
    where b.mark_units is distinct from b.units
)
select c.name as "name!", count(v.name) as "violations!", min(v.example) as example
from (values (1, 'debits_equal_credits'), (2, 'balance_is_sum_of_transfers'), (3, 'transfers_have_balances'),
             (4, 'balances_not_negative'), (5, 'balance_chain'), (6, 'one_debit_per_invoice'),
             (7, 'paid_invoices_have_evidence'), (8, 'debits_have_paid_invoices'), (9, 'paid_months_are_activated'),
             (10, 'events_are_published'), (11, 'payments_have_events'), (12, 'chain_credits_are_posted'),
             (13, 'chain_credits_are_backed'), (14, 'chain_progress_is_shown'), (15, 'ended_invoices_keep_nothing'),
             (16, 'books_equal_the_chain')
     ) as c (place, name)
left join violations v on v.name = c.name
group by c.place, c.name
order by c.place
