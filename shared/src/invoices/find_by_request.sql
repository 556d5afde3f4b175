-- The invoice that this user made with this client_request_id.
select id, user_id, effective_status(i, now()) as "status!", version, amount_micro, payments_received_micro, description,
       channel, rail, action, plan, months, client_request_id, client_request_hash, fx_micro_per_token, address,
       reference_pubkey, created_at, expires_at, paid_at, processed_at
from invoices i
where user_id = $1 and client_request_id = $2
