//! Why a transaction cannot land, in a word that a wallet can act on. Pure.

use solana_instruction::error::InstructionError;
use solana_pubkey::Pubkey;
use solana_system_interface::program::ID as SYSTEM_PROGRAM;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use spl_associated_token_account_interface::program::ID as ACCOUNT_MAKER;

use super::TOKEN_PROGRAMS;

/// What both the system program and the token programs call an empty purse.
const INSUFFICIENT: u32 = 1;

/// Why. The names are part of the console API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayFailure {
    /// The payer has too little of the token, or no account of it at all.
    InsufficientTokenBalance,
    /// The payer has too little SOL: for the amount, the fee, or a new account.
    InsufficientSol,
    /// An account would be left with less SOL than an account must hold.
    BelowRent,
    /// Its time is over.
    BlockhashExpired,
    /// The nodes would not take it, for a reason of their own.
    NodeError,
    /// Anything else.
    Other,
}

const NAMES: [(RelayFailure, &str); 6] = [
    (
        RelayFailure::InsufficientTokenBalance,
        "insufficient_token_balance",
    ),
    (RelayFailure::InsufficientSol, "insufficient_sol"),
    (RelayFailure::BelowRent, "below_rent"),
    (RelayFailure::BlockhashExpired, "blockhash_expired"),
    (RelayFailure::NodeError, "node_error"),
    (RelayFailure::Other, "other"),
];

impl RelayFailure {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = NAMES.iter().find(|(failure, _)| *failure == self);
        named.map_or("other", |(_, name)| name)
    }

    /// The one of this name; of a name that only another version knows, [`Self::Other`].
    #[must_use]
    pub fn named(name: &str) -> Self {
        let named = NAMES.iter().find(|(_, known)| *known == name);
        named.map_or(Self::Other, |(failure, _)| *failure)
    }

    /// Reads what the chain, or a simulation, says of a transaction (its bytes).
    #[must_use]
    pub fn of_error(error: &TransactionError, wire: &[u8]) -> Self {
        match error {
            TransactionError::InsufficientFundsForFee | TransactionError::AccountNotFound => {
                Self::InsufficientSol
            }
            TransactionError::InsufficientFundsForRent { .. } => Self::BelowRent,
            TransactionError::BlockhashNotFound => Self::BlockhashExpired,
            TransactionError::InstructionError(place, error) => {
                Self::of_instruction(program(wire, usize::from(*place)), error)
            }
            _ => Self::Other,
        }
    }

    fn of_instruction(program: Option<Pubkey>, error: &InstructionError) -> Self {
        let Some(program) = program else {
            return Self::Other;
        };
        // A transaction that we broadcast has one instruction of a token program: the transfer.
        let is_token = TOKEN_PROGRAMS.contains(&program);
        // Making an account has the system program take its rent from the payer.
        let is_system = program == SYSTEM_PROGRAM || program == ACCOUNT_MAKER;
        match error {
            InstructionError::AccountNotRentExempt => Self::BelowRent,
            InstructionError::Custom(INSUFFICIENT) | InstructionError::InsufficientFunds => {
                if is_token {
                    Self::InsufficientTokenBalance
                } else if is_system {
                    Self::InsufficientSol
                } else {
                    Self::Other
                }
            }
            // That is how an account that does not exist looks to the token programs.
            InstructionError::InvalidAccountData | InstructionError::UninitializedAccount
                if is_token =>
            {
                Self::InsufficientTokenBalance
            }
            _ => Self::Other,
        }
    }

    /// Reads the words with which a node would not take a transaction. Nodes word errors as they like, so both the name
    /// and the sentence of an error are known.
    #[must_use]
    pub fn of_refusal(message: &str, wire: &[u8]) -> Self {
        let words: String = message
            .to_ascii_lowercase()
            .chars()
            .filter(|letter| !letter.is_whitespace())
            .collect();
        let has = |any: &[&str]| any.iter().any(|known| words.contains(known));
        if has(&["insufficientfundsforrent"]) {
            Self::BelowRent
        } else if has(&[
            "insufficientfundsforfee",
            "insufficientlamports",
            "accountnotfound",
            "foundnorecordofapriorcredit",
        ]) {
            Self::InsufficientSol
        } else if let Some(place) = place_of_empty_purse(&words) {
            let error = InstructionError::Custom(INSUFFICIENT);
            Self::of_instruction(program(wire, place), &error)
        } else {
            Self::NodeError
        }
    }
}

/// Which instruction failed with `Custom(1)`, by the words of an error.
fn place_of_empty_purse(words: &str) -> Option<usize> {
    let (_, rest) = words.split_once("errorprocessinginstruction")?;
    let (place, error) = rest.split_once(':')?;
    let code = error.strip_prefix("customprogramerror:0x")?;
    let code: String = code.chars().take_while(char::is_ascii_hexdigit).collect();
    let is_insufficient = u32::from_str_radix(&code, 16) == Ok(INSUFFICIENT);
    place.parse().ok().filter(|_| is_insufficient)
}

/// Whose instruction this is.
fn program(wire: &[u8], place: usize) -> Option<Pubkey> {
    let transaction: VersionedTransaction = wincode::deserialize(wire).ok()?;
    let message = &transaction.message;
    let instruction = message.instructions().get(place)?;
    let keys = message.static_account_keys();
    keys.get(usize::from(instruction.program_id_index)).copied()
}

#[cfg(test)]
mod tests {
    use solana_hash::Hash;
    use solana_transaction_error::TransactionError as E;

    use super::*;
    use crate::chain::{DepositAccount, Due, Terms, unsigned_payment};
    use crate::invoices::Rail;

    fn key(seed: u8) -> Pubkey {
        Pubkey::new_from_array([seed; 32])
    }

    /// A payment in tokens: two instructions of the budget, one that makes the account, the transfer.
    fn tokens() -> Vec<u8> {
        payment(Rail::SolSplUsdc, Some((key(3), TOKEN_PROGRAMS[1])))
    }

    /// A payment in SOL: two instructions of the budget, the transfer.
    fn native() -> Vec<u8> {
        payment(Rail::SolNative, None)
    }

    fn payment(rail: Rail, token: Option<(Pubkey, Pubkey)>) -> Vec<u8> {
        let due = Due {
            account: DepositAccount {
                account: key(1),
                rail,
                recipient: key(2),
                token,
            },
            units: 5,
            reference: key(4),
        };
        let terms = Terms {
            payer: key(5),
            beacon: None,
            makes_account: token.is_some(),
            unit_price_micro_lamports: 1,
            blockhash: Hash::new_from_array([6; 32]),
        };
        unsigned_payment(&due, &terms)
    }

    fn at(place: u8, error: InstructionError) -> E {
        E::InstructionError(place, error)
    }

    #[test]
    fn what_the_chain_says_is_told_in_a_word() {
        use InstructionError as I;
        use RelayFailure as F;
        let (tokens, native) = (tokens(), native());
        let cases = [
            (&tokens, at(3, I::Custom(1)), F::InsufficientTokenBalance),
            (
                &tokens,
                at(3, I::InsufficientFunds),
                F::InsufficientTokenBalance,
            ),
            (
                &tokens,
                at(3, I::InvalidAccountData),
                F::InsufficientTokenBalance,
            ),
            (
                &tokens,
                at(3, I::UninitializedAccount),
                F::InsufficientTokenBalance,
            ),
            // A frozen account, another mint.
            (&tokens, at(3, I::Custom(17)), F::Other),
            (&tokens, at(3, I::Custom(3)), F::Other),
            // The account's rent.
            (&tokens, at(2, I::Custom(1)), F::InsufficientSol),
            (&tokens, at(2, I::InvalidAccountData), F::Other),
            (&native, at(2, I::Custom(1)), F::InsufficientSol),
            (&native, at(2, I::InsufficientFunds), F::InsufficientSol),
            (&native, at(2, I::AccountNotRentExempt), F::BelowRent),
            // The budget's programs have no purse.
            (&tokens, at(0, I::Custom(1)), F::Other),
            (&tokens, at(200, I::Custom(1)), F::Other),
            (&native, E::InsufficientFundsForFee, F::InsufficientSol),
            (&native, E::AccountNotFound, F::InsufficientSol),
            (
                &native,
                E::InsufficientFundsForRent { account_index: 0 },
                F::BelowRent,
            ),
            (&native, E::BlockhashNotFound, F::BlockhashExpired),
            (&native, E::InvalidAccountForFee, F::Other),
            (&native, E::SignatureFailure, F::Other),
        ];
        for (wire, error, expected) in cases {
            assert_eq!(F::of_error(&error, wire), expected, "{error:?}");
        }
        let nonsense = F::of_error(&at(3, I::Custom(1)), &[1, 2, 3]);
        assert_eq!(nonsense, F::Other);
    }

    #[test]
    fn what_nodes_say_is_told_in_a_word() {
        use RelayFailure as F;
        let (tokens, native) = (tokens(), native());
        let simulation = "Transaction simulation failed: ";
        let cases = [
            (
                &tokens,
                "Error processing Instruction 3: custom program error: 0x1",
                F::InsufficientTokenBalance,
            ),
            (
                &native,
                "Error processing Instruction 2: custom program error: 0x1",
                F::InsufficientSol,
            ),
            (
                &tokens,
                "Error processing Instruction 3: custom program error: 0x11",
                F::NodeError,
            ),
            (
                &tokens,
                "Error processing Instruction x: custom program error: 0x1",
                F::NodeError,
            ),
            (&native, "Insufficient funds for fee", F::InsufficientSol),
            (&native, "InsufficientFundsForFee", F::InsufficientSol),
            (
                &native,
                "Attempt to debit an account but found no record of a prior credit.",
                F::InsufficientSol,
            ),
            (
                &native,
                "Transaction results in an account (0) with insufficient funds for rent",
                F::BelowRent,
            ),
            (
                &native,
                "InsufficientFundsForRent { account_index: 0 }",
                F::BelowRent,
            ),
            (
                &native,
                "Transaction signature verification failure",
                F::NodeError,
            ),
            (&native, "method not allowed on your plan", F::NodeError),
        ];
        for (wire, words, expected) in cases {
            assert_eq!(F::of_refusal(words, wire), expected, "{words}");
            let prefixed = format!("{simulation}{words}");
            assert_eq!(F::of_refusal(&prefixed, wire), expected, "{prefixed}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for (failure, name) in NAMES {
            assert_eq!(failure.name(), name);
            assert_eq!(RelayFailure::named(name), failure);
        }
        assert_eq!(RelayFailure::named("of tomorrow"), RelayFailure::Other);
    }
}
