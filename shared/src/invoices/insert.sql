-- A new pending invoice. All times come from one clock reading.
insert into invoices as i (
    id, user_id, amount_micro, description, channel, rail, action, plan, months, client_request_id,
    client_request_hash, fx_micro_per_token, address, reference_pubkey, created_at, expires_at, grace_until)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now(), now() + make_interval(secs => $15),
        now() + make_interval(secs => $15) + $16)
returning id, user_id, effective_status(i, now()) as "status!", version, amount_micro, payments_received_micro, description,
       channel, rail, action, plan, months, client_request_id, client_request_hash, fx_micro_per_token, address,
       reference_pubkey, created_at, expires_at, paid_at, processed_at
