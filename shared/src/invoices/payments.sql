-- The newest payments of an invoice, and what they counted for: what paid it as a running sum up to its price, as parts lose
-- nothing to rounding, and the worth of the rest.
select c.signature, c.state, p.seen_at,
       case when c.settled_at is null then units_worth_micro(i, c.units)
            else least(i.amount_micro, units_worth_micro(i, c.upto))
                 - least(i.amount_micro, units_worth_micro(i, c.upto - c.paid_units)) + c.worth_micro end as "amount_micro!"
from (select *, sum(q.paid_units) over (order by q.id) as upto from chain_credits q where q.invoice_id = $1) as c
join invoices i on i.id = c.invoice_id
join chain_payments p on p.signature = c.signature and p.account = c.account
order by c.id desc
limit $2
