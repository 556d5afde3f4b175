//! What deposit accounts hold on chain.

use serde_json::json;
use solana_account_decoder_client_types::UiAccount;
use solana_program_pack::Pack as _;
use solana_rpc_client_api::request::RpcRequest;
use solana_rpc_client_api::response::Response;
use spl_token_interface::state::{Account, AccountState};

use super::{Commitment, DepositAccount, Node, NodeError};

/// What a node says that an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// In this final slot.
    pub slot: u64,
    /// The newest slot that the node knew of afterwards. Some nodes show a newer balance than that of the slot they
    /// name, but none from after this.
    pub newest_slot: u64,
    /// Base units that are ours.
    pub units: u64,
}

impl Node {
    /// What an account held in a final slot, by one answer that says both.
    pub async fn balance(&self, account: &DepositAccount) -> Result<Balance, NodeError> {
        let options = json!({"encoding": "base64", "commitment": Commitment::Finalized.name()});
        let params = json!([account.account.to_string(), options]);
        let answer: Response<Option<UiAccount>> =
            self.call(RpcRequest::GetAccountInfo, params).await?;
        let newest_slot = self.slot(Commitment::Processed).await?;
        let units = answer.value.map_or(Ok(0), |held| units(account, &held))?;
        Ok(Balance {
            slot: answer.context.slot,
            newest_slot: newest_slot.max(answer.context.slot),
            units,
        })
    }
}

/// An account that is none of ours any more, or of another mint, holds nothing of ours.
fn units(account: &DepositAccount, held: &UiAccount) -> Result<u64, NodeError> {
    let unreadable = || NodeError::Unreadable(RpcRequest::GetAccountInfo.to_string());
    let Some((mint, program)) = account.token else {
        return Ok(held.lamports);
    };
    if held.owner != program.to_string() {
        return Ok(0);
    }
    let data = held.data.decode().ok_or_else(unreadable)?;
    // Extensions of the newer program come after the base layout.
    let base = data.get(..Account::LEN).ok_or_else(unreadable)?;
    let state = Account::unpack_unchecked(base).map_err(|_| unreadable())?;
    let is_ours = state.state != AccountState::Uninitialized
        && state.mint == mint
        && state.owner == account.recipient;
    Ok(if is_ours { state.amount } else { 0 })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use solana_account_decoder_client_types::{UiAccountData, UiAccountEncoding};
    use solana_pubkey::Pubkey;

    use super::*;
    use crate::chain::TOKEN_PROGRAMS;
    use crate::invoices::Rail;

    const OURS: Pubkey = Pubkey::new_from_array([1; 32]);
    const MINT: Pubkey = Pubkey::new_from_array([2; 32]);
    const OTHER: Pubkey = Pubkey::new_from_array([3; 32]);

    fn token_account() -> DepositAccount {
        DepositAccount {
            account: Pubkey::new_from_array([4; 32]),
            rail: Rail::SolSplUsdc,
            recipient: OURS,
            token: Some((MINT, TOKEN_PROGRAMS[0])),
        }
    }

    fn held(program: Pubkey, data: &[u8]) -> UiAccount {
        UiAccount {
            lamports: 7,
            data: UiAccountData::Binary(STANDARD.encode(data), UiAccountEncoding::Base64),
            owner: program.to_string(),
            executable: false,
            rent_epoch: 0,
            space: None,
        }
    }

    fn tokens(mint: Pubkey, owner: Pubkey, state: AccountState, tail: &[u8]) -> Vec<u8> {
        let account = Account {
            mint,
            owner,
            amount: u64::MAX,
            state,
            ..Account::default()
        };
        let mut data = vec![0; Account::LEN];
        Account::pack(account, &mut data).unwrap();
        data.extend_from_slice(tail);
        data
    }

    #[test]
    fn a_token_account_counts_while_it_is_ours() {
        let live = AccountState::Initialized;
        let cases = [
            (TOKEN_PROGRAMS[0], tokens(MINT, OURS, live, &[]), u64::MAX),
            (
                TOKEN_PROGRAMS[0],
                tokens(MINT, OURS, AccountState::Frozen, &[2, 9]),
                u64::MAX,
            ),
            (TOKEN_PROGRAMS[0], tokens(MINT, OTHER, live, &[]), 0),
            (TOKEN_PROGRAMS[0], tokens(OTHER, OURS, live, &[]), 0),
            (
                TOKEN_PROGRAMS[0],
                tokens(MINT, OURS, AccountState::Uninitialized, &[]),
                0,
            ),
            (TOKEN_PROGRAMS[1], tokens(MINT, OURS, live, &[]), 0),
            (OTHER, Vec::new(), 0),
        ];
        for (place, (program, data, expected)) in cases.into_iter().enumerate() {
            let counted = units(&token_account(), &held(program, &data));
            assert_eq!(counted, Ok(expected), "{place}");
        }
        assert!(units(&token_account(), &held(TOKEN_PROGRAMS[0], &[1])).is_err());
    }

    #[test]
    fn a_wallet_counts_as_it_is() {
        let wallet = DepositAccount {
            account: OURS,
            rail: Rail::SolNative,
            recipient: OURS,
            token: None,
        };
        assert_eq!(units(&wallet, &held(OTHER, &[])), Ok(7));
    }
}
