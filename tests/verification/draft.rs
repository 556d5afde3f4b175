//! Transactions and the answers of nodes about them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use solana_account_decoder_client_types::token::{UiTokenAmount, real_number_string_trimmed};
use solana_hash::Hash;
use solana_instruction::error::InstructionError;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{AddressLookupTableAccount, VersionedMessage, legacy, v0, v1};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::{
    EncodedConfirmedTransactionWithStatusMeta, EncodedTransaction,
    EncodedTransactionWithStatusMeta, InnerInstruction, InnerInstructions,
    TransactionBinaryEncoding, TransactionStatusMeta, TransactionTokenBalance,
};

use crate::ledger::Ledger;
use crate::scene::key;

/// What a node answers about a transaction.
pub type Answer = EncodedConfirmedTransactionWithStatusMeta;

/// The slot everything lands in.
pub const SLOT: u64 = 301_000_123;

/// What landing costs.
pub const FEE: u64 = 5_000;

/// The form of a transaction on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The first.
    Legacy,
    /// With lookup tables.
    V0,
    /// Larger, without them.
    V1,
}

/// An instruction and what its program calls.
#[derive(Debug, Clone)]
struct Call {
    outer: Instruction,
    inner: Vec<Instruction>,
}

/// A transaction before it lands.
#[derive(Debug, Clone)]
pub struct Draft {
    payer: Pubkey,
    form: Form,
    calls: Vec<Call>,
    looked_up: Vec<Pubkey>,
    fails: bool,
}

impl Draft {
    /// Pays its fee from `payer`, and does nothing.
    pub fn new(payer: Pubkey) -> Self {
        Self {
            payer,
            form: Form::Legacy,
            calls: Vec::new(),
            looked_up: Vec::new(),
            fails: false,
        }
    }

    /// In this form.
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// These keys come from a lookup table, if the form has any.
    pub fn looking_up(mut self, keys: &[Pubkey]) -> Self {
        self.looked_up.extend(keys);
        self
    }

    /// Fails after all, whatever its instructions are.
    pub fn failing(mut self) -> Self {
        self.fails = true;
        self
    }

    /// And this instruction.
    pub fn call(mut self, outer: Instruction) -> Self {
        let inner = Vec::new();
        self.calls.push(Call { outer, inner });
        self
    }

    /// And a program that carries these out; its own instruction lists their accounts and the marks.
    pub fn by_program(mut self, inner: Vec<Instruction>, marks: &[Pubkey]) -> Self {
        let programs = inner.iter().map(|i| i.program_id);
        let programs = programs.map(|program| AccountMeta::new_readonly(program, false));
        let accounts = inner.iter().flat_map(|i| i.accounts.iter().cloned());
        let marks = marks
            .iter()
            .map(|mark| AccountMeta::new_readonly(*mark, false));
        let outer = Instruction {
            program_id: key("smart wallet"),
            accounts: accounts.chain(programs).chain(marks).collect(),
            data: vec![9, 9, 9],
        };
        self.calls.push(Call { outer, inner });
        self
    }

    /// What a node answers once it has landed. What fails costs its fee.
    pub fn land(&self, ledger: &mut Ledger) -> Answer {
        let before = ledger.clone();
        ledger.take_lamports(self.payer, FEE).unwrap();
        let charged = ledger.clone();
        let mut instructions = self
            .calls
            .iter()
            .flat_map(|call| std::iter::once(&call.outer).chain(&call.inner));
        let succeeds =
            instructions.all(|instruction| ledger.execute(instruction).is_some()) && !self.fails;
        if !succeeds {
            *ledger = charged;
        }
        self.answer(&before, ledger, succeeds)
    }

    fn message(&self) -> VersionedMessage {
        let outer: Vec<Instruction> = self.calls.iter().map(|call| call.outer.clone()).collect();
        let hash = Hash::new_from_array([7; 32]);
        let payer = &self.payer;
        match self.form {
            Form::Legacy => VersionedMessage::Legacy(legacy::Message::new_with_blockhash(
                &outer,
                Some(payer),
                &hash,
            )),
            Form::V0 => {
                let table = AddressLookupTableAccount {
                    key: key("lookup table"),
                    addresses: self.looked_up.clone(),
                };
                let tables = if self.looked_up.is_empty() {
                    vec![]
                } else {
                    vec![table]
                };
                VersionedMessage::V0(
                    v0::Message::try_compile(payer, &outer, &tables, hash).unwrap(),
                )
            }
            Form::V1 => {
                VersionedMessage::V1(v1::Message::try_compile(payer, &outer, hash).unwrap())
            }
        }
    }

    fn answer(&self, before: &Ledger, after: &Ledger, succeeds: bool) -> Answer {
        let message = self.message();
        let loaded = self.loaded(&message);
        let mut keys = message.static_account_keys().to_vec();
        keys.extend(loaded.writable.iter().chain(&loaded.readonly));
        let balances = |ledger: &Ledger| {
            let balance = |key| ledger.lamports.get(key).copied().unwrap_or(0);
            keys.iter().map(balance).collect()
        };
        let error = || TransactionError::InstructionError(0, InstructionError::Custom(1));
        let meta = TransactionStatusMeta {
            status: if succeeds { Ok(()) } else { Err(error()) },
            fee: FEE,
            pre_balances: balances(before),
            post_balances: balances(after),
            inner_instructions: Some(self.inner(&keys)),
            pre_token_balances: Some(token_rows(before, &keys)),
            post_token_balances: Some(token_rows(after, &keys)),
            loaded_addresses: loaded,
            ..TransactionStatusMeta::default()
        };
        let signatures = usize::from(message.header().num_required_signatures);
        let transaction = VersionedTransaction {
            signatures: (1..=signatures).map(signature).collect(),
            message,
        };
        let body = STANDARD.encode(wincode::serialize(&transaction).unwrap());
        let answer = Answer {
            slot: SLOT,
            transaction: EncodedTransactionWithStatusMeta {
                transaction: EncodedTransaction::Binary(body, TransactionBinaryEncoding::Base64),
                meta: Some(meta.into()),
                version: Some(transaction.version()),
            },
            block_time: Some(1_790_000_000),
            transaction_index: None,
        };
        // As it arrives.
        serde_json::from_value(serde_json::to_value(answer).unwrap()).unwrap()
    }

    fn loaded(&self, message: &VersionedMessage) -> v0::LoadedAddresses {
        let tables = message.address_table_lookups().unwrap_or_default();
        let key = |place: &u8| self.looked_up.get(usize::from(*place)).copied();
        let keys = |places: &[u8]| places.iter().filter_map(key).collect::<Vec<_>>();
        let writable = tables.iter().flat_map(|t| keys(&t.writable_indexes));
        let readonly = tables.iter().flat_map(|t| keys(&t.readonly_indexes));
        v0::LoadedAddresses {
            writable: writable.collect(),
            readonly: readonly.collect(),
        }
    }

    fn inner(&self, keys: &[Pubkey]) -> Vec<InnerInstructions> {
        let place = |key: &Pubkey| {
            let place = keys.iter().position(|other| other == key);
            u8::try_from(place.unwrap()).unwrap()
        };
        let inner = |instruction: &Instruction| InnerInstruction {
            instruction: CompiledInstruction {
                program_id_index: place(&instruction.program_id),
                accounts: instruction
                    .accounts
                    .iter()
                    .map(|a| place(&a.pubkey))
                    .collect(),
                data: instruction.data.clone(),
            },
            stack_height: Some(2),
        };
        let of_call = |(index, call): (usize, &Call)| InnerInstructions {
            index: u8::try_from(index).unwrap(),
            instructions: call.inner.iter().map(inner).collect(),
        };
        let calls = self.calls.iter().enumerate();
        let calls = calls.filter(|(_, call)| !call.inner.is_empty());
        calls.map(of_call).collect()
    }
}

/// The n-th signature of every transaction.
pub fn signature(place: usize) -> Signature {
    Signature::from([u8::try_from(place).unwrap(); 64])
}

fn token_rows(ledger: &Ledger, keys: &[Pubkey]) -> Vec<TransactionTokenBalance> {
    let row = |(place, key): (usize, &Pubkey)| {
        let holding = ledger.holdings.get(key)?;
        let mint = ledger.mints.get(&holding.mint)?;
        let shown = u128::from(holding.units) * u128::from(mint.shown_percent) / 100;
        let shown = u64::try_from(shown).unwrap_or(u64::MAX);
        Some(TransactionTokenBalance {
            account_index: u8::try_from(place).unwrap(),
            mint: holding.mint.to_string(),
            ui_token_amount: UiTokenAmount {
                ui_amount: None,
                decimals: mint.decimals,
                amount: holding.units.to_string(),
                ui_amount_string: real_number_string_trimmed(shown, mint.decimals),
            },
            owner: holding.owner.to_string(),
            program_id: mint.program.to_string(),
        })
    };
    keys.iter().enumerate().filter_map(row).collect()
}

/// The answer with something in it changed; `None` when it is no answer any more.
pub fn bent(answer: &Answer, change: impl FnOnce(&mut Value)) -> Option<Answer> {
    let mut value = serde_json::to_value(answer).unwrap();
    change(&mut value);
    serde_json::from_value(value).ok()
}
