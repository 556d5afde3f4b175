//! Builds a signed transaction and its effect in one go.

use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_keypair::Keypair;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{AddressLookupTableAccount, CompileError};
use solana_pubkey::Pubkey;
use solana_signer::{Signer, SignerError};
use solana_system_interface::instruction as system;
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::{InnerInstruction, InnerInstructions};

use super::book::Book;
use super::wire::Signed;
use super::{FakeTransaction, NewTokenAccount, TokenHolding, TokenTransfer, Version, token};

const LAMPORTS_PER_SIGNATURE: u64 = 5_000;
const PAYER_BALANCE: u64 = 10_000_000_000;
/// An instruction that a program called directly.
const FIRST_CALL: u32 = 2;

/// Why a transaction cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The instructions do not fit together.
    #[error("cannot compile the instructions: {0}")]
    Compile(#[from] CompileError),
    /// A signer is missing or too many.
    #[error("cannot sign: {0}")]
    Sign(#[from] SignerError),
    /// The bytes cannot be written.
    #[error("cannot serialize: {0}")]
    Serialize(#[from] wincode::WriteError),
    /// An inner instruction uses a key that no outer instruction brings.
    #[error("{0} is not among the keys of the transaction")]
    KeyMissing(Pubkey),
}

/// A transaction in the making. Its balances follow from the transfers, unless they are set.
pub struct TransactionBuilder {
    payer: Pubkey,
    signers: Vec<Keypair>,
    blockhash: Hash,
    version: Version,
    instructions: Vec<Instruction>,
    tables: Vec<AddressLookupTableAccount>,
    inner: Vec<(u8, Instruction)>,
    book: Book,
    fee: Option<u64>,
    err: Option<TransactionError>,
    memo: Option<String>,
    logs: Option<Vec<String>>,
}

impl TransactionBuilder {
    /// A transaction that `payer` signs and pays for.
    #[must_use]
    pub fn new(payer: &Keypair, blockhash: Hash) -> Self {
        let mut book = Book::default();
        book.set_before(payer.pubkey(), PAYER_BALANCE);
        Self {
            payer: payer.pubkey(),
            signers: vec![payer.insecure_clone()],
            blockhash,
            version: Version::Legacy,
            instructions: Vec::new(),
            tables: Vec::new(),
            inner: Vec::new(),
            book,
            fee: None,
            err: None,
            memo: None,
            logs: None,
        }
    }

    /// In this version; lookup tables need version 0.
    #[must_use]
    pub const fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Signed by somebody else too.
    #[must_use]
    pub fn signer(mut self, signer: &Keypair) -> Self {
        self.signers.push(signer.insecure_clone());
        self
    }

    /// Adds an instruction without an effect on balances.
    #[must_use]
    pub fn instruction(mut self, instruction: Instruction) -> Self {
        self.instructions.push(instruction);
        self
    }

    /// Sends lamports of the fee payer; the instruction carries the references.
    #[must_use]
    pub fn sol_transfer(mut self, to: Pubkey, lamports: u64, references: &[Pubkey]) -> Self {
        let mut instruction = system::transfer(&self.payer, &to, lamports);
        instruction.accounts.extend(token::tags(references));
        self.book.pay(self.payer, to, lamports);
        self.instruction(instruction)
    }

    /// Sends tokens. A destination that is not created here exists already, and is empty.
    #[must_use]
    pub fn token_transfer(mut self, transfer: &TokenTransfer) -> Self {
        self.book.transfer(transfer);
        self.instruction(transfer.instruction())
    }

    /// Creates an associated token account at the fee payer's expense; it has no row before.
    #[must_use]
    pub fn create_token_account(mut self, new: &NewTokenAccount) -> Self {
        self.book.create(self.payer, new);
        let instruction = new.instruction(&self.payer);
        self.instruction(instruction)
    }

    /// Adds a memo that mentions keys.
    #[must_use]
    pub fn memo(mut self, text: &str, references: &[Pubkey]) -> Self {
        self.memo = Some(format!("[{}] {text}", text.len()));
        self.instruction(token::memo(text, references))
    }

    /// Adds a token transfer that the outer instruction at this place calls: an effect and an inner
    /// instruction. The outer one has to bring all its keys.
    #[must_use]
    pub fn inner_token_transfer(mut self, outer: u8, transfer: &TokenTransfer) -> Self {
        self.book.transfer(transfer);
        self.inner(outer, transfer.instruction())
    }

    /// Adds an inner instruction without an effect on balances.
    #[must_use]
    pub fn inner(mut self, outer: u8, instruction: Instruction) -> Self {
        self.inner.push((outer, instruction));
        self
    }

    /// Takes from a lookup table whatever keys are in it.
    #[must_use]
    pub fn lookup_table(mut self, key: Pubkey, addresses: Vec<Pubkey>) -> Self {
        self.tables
            .push(AddressLookupTableAccount { key, addresses });
        self
    }

    /// What an account has before; others follow from what happens.
    #[must_use]
    pub fn lamports_before(mut self, key: Pubkey, lamports: u64) -> Self {
        self.book.set_before(key, lamports);
        self
    }

    /// Sets both lamport balances of an account, whatever happens.
    #[must_use]
    pub fn lamports(mut self, key: Pubkey, before: u64, after: u64) -> Self {
        self.book.fix(key, before, after);
        self
    }

    /// Sets the token balances of an account; transfers that follow change the amount afterwards.
    #[must_use]
    pub fn holding(mut self, holding: TokenHolding) -> Self {
        self.book.hold(holding);
        self
    }

    /// The fee; by default 5,000 lamports for each signature.
    #[must_use]
    pub const fn fee(mut self, lamports: u64) -> Self {
        self.fee = Some(lamports);
        self
    }

    /// It fails: only the fee is taken.
    #[must_use]
    pub fn failing(mut self, err: TransactionError) -> Self {
        self.err = Some(err);
        self
    }

    /// What programs say, instead of a line for each instruction.
    #[must_use]
    pub fn logs(mut self, logs: Vec<String>) -> Self {
        self.logs = Some(logs);
        self
    }

    /// Signs it.
    ///
    /// # Errors
    /// When the parts do not make a transaction.
    pub fn build(self) -> Result<FakeTransaction, BuildError> {
        let signed = Signed::new(
            self.version,
            &self.instructions,
            &self.tables,
            self.blockhash,
            &self.signers,
        )?;
        let keys = signed.keys();
        let signatures = u64::try_from(self.signers.len()).unwrap_or(1);
        let fee = self.fee.unwrap_or(LAMPORTS_PER_SIGNATURE * signatures);
        let inner = inner_instructions(self.inner, &keys)?;
        let logs = self
            .logs
            .unwrap_or_else(|| said(&self.instructions, self.err.as_ref()));
        let closed = self.book.close(self.payer, &keys, fee, self.err.is_some());
        Ok(FakeTransaction {
            signature: signed.signature,
            wire: signed.wire,
            version: self.version,
            blockhash: self.blockhash,
            err: self.err,
            static_keys: signed.static_keys,
            loaded_writable: signed.loaded.writable,
            loaded_readonly: signed.loaded.readonly,
            fee,
            pre_balances: closed.pre_balances,
            post_balances: closed.post_balances,
            tokens: closed.tokens,
            inner,
            logs,
            memo: self.memo,
            without_meta: false,
        })
    }
}

fn inner_instructions(
    added: Vec<(u8, Instruction)>,
    keys: &[Pubkey],
) -> Result<Vec<InnerInstructions>, BuildError> {
    let mut groups: Vec<InnerInstructions> = Vec::new();
    for (outer, instruction) in added {
        let instruction = compiled(&instruction, keys)?;
        let call = InnerInstruction {
            instruction,
            stack_height: Some(FIRST_CALL),
        };
        match groups.iter_mut().find(|group| group.index == outer) {
            Some(group) => group.instructions.push(call),
            None => groups.push(InnerInstructions {
                index: outer,
                instructions: vec![call],
            }),
        }
    }
    groups.sort_by_key(|group| group.index);
    Ok(groups)
}

fn compiled(instruction: &Instruction, keys: &[Pubkey]) -> Result<CompiledInstruction, BuildError> {
    let place = |wanted: &Pubkey| {
        let position = keys.iter().position(|key| key == wanted);
        position
            .and_then(|position| u8::try_from(position).ok())
            .ok_or(BuildError::KeyMissing(*wanted))
    };
    let accounts = instruction.accounts.iter();
    Ok(CompiledInstruction {
        program_id_index: place(&instruction.program_id)?,
        accounts: accounts
            .map(|account| place(&account.pubkey))
            .collect::<Result<_, _>>()?,
        data: instruction.data.clone(),
    })
}

fn said(instructions: &[Instruction], err: Option<&TransactionError>) -> Vec<String> {
    let mut logs = Vec::new();
    for instruction in instructions {
        let program = instruction.program_id;
        logs.push(format!("Program {program} invoke [1]"));
        logs.push(format!("Program {program} success"));
    }
    if let (Some(err), Some(last)) = (err, logs.last_mut()) {
        *last = format!("Program failed: {err}");
    }
    logs
}
