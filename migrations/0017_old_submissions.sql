-- What was submitted for invoices that ended long ago is deleted, oldest first.
create index relay_by_age on relay_transactions (created_at) where state not in ('sending', 'confirmed');
create index submitted_by_age on submitted_signatures (at);

create function retire_submissions(p_before timestamptz, p_limit integer) returns bigint
language sql security definer set search_path = public, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    with old_relayed as (
        select r.signature from relay_transactions r
        where r.state not in ('sending', 'confirmed') and r.created_at < p_before
          and exists (select from invoices i where i.id = r.invoice_id and i.status <> 'pending')
        order by r.created_at limit p_limit for update skip locked
    ), old_noted as (
        select s.invoice_id, s.signature from submitted_signatures s
        where s.at < p_before
          and exists (select from invoices i where i.id = s.invoice_id and i.status <> 'pending')
        order by s.at limit p_limit for update skip locked
    ), relayed as (
        delete from relay_transactions r using old_relayed o where r.signature = o.signature returning 1
    ), noted as (
        delete from submitted_signatures s using old_noted o
        where s.invoice_id = o.invoice_id and s.signature = o.signature returning 1
    )
    select greatest((select count(*) from relayed), (select count(*) from noted))
$$;

revoke execute on function retire_submissions(timestamptz, integer) from public;
grant execute on function retire_submissions(timestamptz, integer) to quittance_worker;
