-- What an invoice still asks for, in base units and in micro-USD.
select r.units as "remaining_units!",
       case when effective_status(i, now()) <> 'pending' or r.units = 0 then 0
            else i.amount_micro - units_worth_micro(i, units_due(i) - r.units) end as "remaining_micro!"
from invoices i
cross join lateral (select case when i.status = 'paid' then 0 else units_remaining(i)::bigint end as units) as r
where i.id = $1
