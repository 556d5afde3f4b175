-- Taking submissions: signed transactions and signatures that wallets hand in for an invoice. The invoice's row is
-- locked meanwhile, so that one that was just paid, or has another transaction under way, relays nothing more.

-- Rounds in a row in which every node that must know the transaction did not.
alter table relay_transactions add column absences smallint not null default 0;

-- Submissions of an invoice so far, of both kinds.
create function count_submissions(p_invoice text) returns bigint language sql stable as $$
    select (select count(*) from relay_transactions r where r.invoice_id = p_invoice)
         + (select count(*) from submitted_signatures s where s.invoice_id = p_invoice)
$$;

-- Answers what becomes of the transaction, or the invoice's status when that is not pending any more.
create function store_submission(p_invoice text, p_signature text, p_wire bytea, p_attempts_max bigint)
returns text language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_invoice invoices;
    v_known   relay_transactions;
    v_status  text;
begin
    select i.* into strict v_invoice from invoices i where i.id = p_invoice;
    select r.* into v_known from relay_transactions r where r.signature = p_signature;
    if v_known.signature is null then
        select i.* into strict v_invoice from invoices i where i.id = p_invoice for no key update;
        -- Read after the lock: the same transaction may have been stored while this call waited for it.
        select r.* into v_known from relay_transactions r where r.signature = p_signature;
    end if;
    if v_known.invoice_id <> p_invoice then
        return 'other_invoice';
    end if;
    v_status := effective_status(v_invoice, clock_timestamp());
    if v_status <> 'pending' then
        return v_status;
    end if;
    if v_known.signature is not null then
        return case
            when v_known.state in ('failed', 'expired') then 'refused'
            when v_known.accepted or v_known.state <> 'sending' then 'accepted'
            else 'waiting'
        end;
    end if;
    -- A final one pays the invoice as soon as the watcher gets to it.
    if exists (select from relay_transactions r
               where r.invoice_id = p_invoice and r.state in ('sending', 'confirmed', 'finalized')) then
        return 'another_under_way';
    end if;
    if v_invoice.payment_confirming and v_invoice.payments_received_micro >= v_invoice.amount_micro then
        return 'being_confirmed';
    end if;
    if count_submissions(p_invoice) >= p_attempts_max then
        return 'too_many';
    end if;
    -- The caller's job sends it first; the sweep only if that job is lost.
    insert into relay_transactions (signature, invoice_id, wire, next_at)
    values (p_signature, p_invoice, p_wire, clock_timestamp() + interval '3 seconds');
    return 'stored';
end
$$;

create function note_submission(p_invoice text, p_signature text, p_attempts_max bigint)
returns text language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_invoice invoices;
    v_status  text;
begin
    select i.* into strict v_invoice from invoices i where i.id = p_invoice for no key update;
    v_status := effective_status(v_invoice, clock_timestamp());
    if v_status <> 'pending' then
        return v_status;
    end if;
    if exists (select from submitted_signatures s where s.invoice_id = p_invoice and s.signature = p_signature) then
        return 'noted';
    end if;
    if count_submissions(p_invoice) >= p_attempts_max then
        return 'too_many';
    end if;
    insert into submitted_signatures (invoice_id, signature) values (p_invoice, p_signature);
    return 'noted';
end
$$;

revoke execute on function count_submissions(text), store_submission(text, text, bytea, bigint),
    note_submission(text, text, bigint) from public;
grant execute on function store_submission(text, text, bytea, bigint), note_submission(text, text, bigint)
    to quittance_api;
grant update (absences) on relay_transactions to quittance_worker;
