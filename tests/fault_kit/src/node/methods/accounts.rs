//! Accounts and balances.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use solana_account_decoder_client_types::{
    UiAccount, UiAccountData, UiAccountEncoding, UiDataSliceConfig,
};
use solana_pubkey::Pubkey;

use super::{Answer, to_json, with_context, zstd};
use crate::chain::FakeAccount;
use crate::node::RpcFailure;
use crate::node::core::Core;
use crate::node::params::{Config, Params, parsed};

const ACCOUNTS_MAX: usize = 100;
/// Longer data is not shown in base58.
const BASE58_BYTES_MAX: usize = 128;

pub fn account_info(core: &Core, params: &Params<'_>) -> Answer {
    let key = params.key(0)?;
    let config = params.config(1);
    let (slot, mut found) = look(core, &config, &[key])?;
    let account = found.pop().flatten();
    let shown = account
        .as_ref()
        .map(|account| show(account, &config))
        .transpose()?;
    Ok(with_context(slot, &to_json(shown)?))
}

pub fn multiple_accounts(core: &Core, params: &Params<'_>) -> Answer {
    let keys = params.texts(0)?;
    if keys.len() > ACCOUNTS_MAX {
        let message = format!("Too many inputs provided; max {ACCOUNTS_MAX}");
        return Err(RpcFailure::invalid_params(message));
    }
    let keys = keys.into_iter().map(parsed);
    let keys: Vec<Pubkey> = keys.collect::<Result<_, _>>()?;
    let config = params.config(1);
    let (slot, found) = look(core, &config, &keys)?;
    let shown = found.iter().map(|account| {
        account
            .as_ref()
            .map(|account| show(account, &config))
            .transpose()
    });
    let shown: Vec<Option<UiAccount>> = shown.collect::<Result<_, _>>()?;
    Ok(with_context(slot, &to_json(shown)?))
}

pub fn balance(core: &Core, params: &Params<'_>) -> Answer {
    let key = params.key(0)?;
    let (slot, mut found) = look(core, &params.config(1), &[key])?;
    let lamports = found.pop().flatten().map_or(0, |account| account.lamports);
    Ok(with_context(slot, &json!(lamports)))
}

pub fn rent_exemption(core: &Core, params: &Params<'_>) -> Answer {
    let bytes = params.get(0).and_then(Value::as_u64);
    let bytes =
        bytes.ok_or_else(|| RpcFailure::invalid_params("Invalid params: expected usize."))?;
    Ok(json!(core.chain.lock().rent_exemption(bytes)))
}

fn look(
    core: &Core,
    config: &Config<'_>,
    keys: &[Pubkey],
) -> Result<(u64, Vec<Option<FakeAccount>>), RpcFailure> {
    let commitment = config.commitment()?;
    let state = core.chain.lock();
    let inner = core.lock();
    let slot = config.slot(&inner.view, &state, commitment)?;
    let look = |key| inner.view.account(&state, key, commitment);
    Ok((slot, keys.iter().map(look).collect()))
}

fn show(account: &FakeAccount, config: &Config<'_>) -> Result<UiAccount, RpcFailure> {
    let space = u64::try_from(account.data.len()).ok();
    let slice = config.read::<UiDataSliceConfig>("dataSlice")?;
    let data = slice.map_or(&account.data[..], |slice| sliced(&account.data, slice));
    let encoding = config.read::<UiAccountEncoding>("encoding")?;
    let data = match encoding.unwrap_or(UiAccountEncoding::Binary) {
        UiAccountEncoding::Base64 => {
            UiAccountData::Binary(BASE64_STANDARD.encode(data), UiAccountEncoding::Base64)
        }
        UiAccountEncoding::Base64Zstd => {
            let text = BASE64_STANDARD.encode(zstd::frame(data));
            UiAccountData::Binary(text, UiAccountEncoding::Base64Zstd)
        }
        UiAccountEncoding::Binary | UiAccountEncoding::Base58 if data.len() <= BASE58_BYTES_MAX => {
            let text = bs58::encode(data).into_string();
            UiAccountData::Binary(text, UiAccountEncoding::Base58)
        }
        _ => {
            let message = "the fake node encodes accounts in base64, and short ones in base58";
            return Err(RpcFailure::invalid_params(message));
        }
    };
    Ok(UiAccount {
        lamports: account.lamports,
        data,
        owner: account.owner.to_string(),
        executable: account.executable,
        rent_epoch: u64::MAX,
        space,
    })
}

fn sliced(data: &[u8], slice: UiDataSliceConfig) -> &[u8] {
    let end = slice.offset.saturating_add(slice.length).min(data.len());
    data.get(slice.offset..end).unwrap_or_default()
}
