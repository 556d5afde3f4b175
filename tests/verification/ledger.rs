//! Accounts and what instructions do to them: a small model of the chain, independent of the code under test.

use std::collections::BTreeMap;

use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use spl_associated_token_account_interface::program::ID as ASSOCIATED;
use spl_token_2022_interface::extension::transfer_fee::instruction::TransferFeeInstruction;
use spl_token_2022_interface::instruction::{AuthorityType, TokenInstruction};

/// The token program.
pub const TOKEN: Pubkey = spl_token_interface::ID;
/// Its successor.
pub const TOKEN_2022: Pubkey = spl_token_2022_interface::ID;
/// What a token account must hold to exist.
pub const ACCOUNT_RENT: u64 = 2_039_280;

const SYSTEM: Pubkey = solana_system_interface::program::ID;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mint {
    /// The program that keeps it.
    pub program: Pubkey,
    /// Digits after the point.
    pub decimals: u8,
    /// What a transfer costs, hundredths of a percent.
    pub fee_basis_points: u16,
    /// What is shown of the amount, percent: interest and scaling change what people read.
    pub shown_percent: u64,
}

/// A token account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// What is in it.
    pub mint: Pubkey,
    /// Whose it is.
    pub owner: Pubkey,
    /// Base units.
    pub units: u64,
}

/// All accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Lamports of every account.
    pub lamports: BTreeMap<Pubkey, u64>,
    /// Token accounts.
    pub holdings: BTreeMap<Pubkey, Holding>,
    /// Tokens.
    pub mints: BTreeMap<Pubkey, Mint>,
}

impl Ledger {
    /// Adds a token account that holds something.
    pub fn open(&mut self, account: Pubkey, mint: Pubkey, owner: Pubkey, units: u64) {
        self.lamports.insert(account, ACCOUNT_RENT);
        let holding = Holding { mint, owner, units };
        self.holdings.insert(account, holding);
    }

    /// What an account holds of its token; nothing when it does not exist.
    pub fn units(&self, account: &Pubkey) -> u64 {
        self.holdings
            .get(account)
            .map_or(0, |holding| holding.units)
    }

    /// Moves lamports; `None` when it cannot be done.
    pub fn move_lamports(&mut self, from: Pubkey, to: Pubkey, units: u64) -> Option<()> {
        self.take_lamports(from, units)?;
        let balance = self.lamports.entry(to).or_default();
        *balance = balance.checked_add(units)?;
        Some(())
    }

    /// Takes lamports away.
    pub fn take_lamports(&mut self, from: Pubkey, units: u64) -> Option<()> {
        let balance = self.lamports.entry(from).or_default();
        *balance = balance.checked_sub(units)?;
        Some(())
    }

    /// Carries out one instruction; `None` when it fails. Programs that are not modelled change nothing.
    pub fn execute(&mut self, instruction: &Instruction) -> Option<()> {
        let accounts: Vec<Pubkey> = instruction.accounts.iter().map(|a| a.pubkey).collect();
        match instruction.program_id {
            SYSTEM => self.system(&accounts, &instruction.data),
            ASSOCIATED => self.create_associated(&accounts),
            program @ (TOKEN | TOKEN_2022) => self.token(program, &accounts, &instruction.data),
            _ => Some(()),
        }
    }

    fn system(&mut self, accounts: &[Pubkey], data: &[u8]) -> Option<()> {
        let (tag, rest) = data.split_first_chunk::<4>()?;
        let units = || Some(u64::from_le_bytes(*rest.first_chunk::<8>()?));
        match u32::from_le_bytes(*tag) {
            // Creation and transfer.
            0 | 2 => self.move_lamports(*accounts.first()?, *accounts.get(1)?, units()?),
            // Transfer with seed.
            11 => self.move_lamports(*accounts.first()?, *accounts.get(2)?, units()?),
            _ => Some(()),
        }
    }

    fn create_associated(&mut self, accounts: &[Pubkey]) -> Option<()> {
        let [funder, account, owner, mint, ..] = *accounts else {
            return None;
        };
        if self.holdings.contains_key(&account) {
            return Some(());
        }
        self.move_lamports(funder, account, ACCOUNT_RENT)?;
        let units = 0;
        let holding = Holding { mint, owner, units };
        self.holdings.insert(account, holding);
        Some(())
    }

    fn token(&mut self, program: Pubkey, accounts: &[Pubkey], data: &[u8]) -> Option<()> {
        let account = |place: usize| accounts.get(place).copied();
        match TokenInstruction::unpack(data).ok()? {
            #[expect(deprecated, reason = "people still use it")]
            TokenInstruction::Transfer { amount } => {
                self.move_tokens(program, account(0)?, account(1)?, amount)
            }
            TokenInstruction::TransferChecked { amount, .. } => {
                self.move_tokens(program, account(0)?, account(2)?, amount)
            }
            TokenInstruction::TransferFeeExtension => {
                match TransferFeeInstruction::unpack(data.get(1..)?).ok()? {
                    TransferFeeInstruction::TransferCheckedWithFee { amount, fee, .. } => {
                        let expected = self.transfer_fee(&account(1)?, amount);
                        (fee == expected).then_some(())?;
                        self.move_tokens(program, account(0)?, account(2)?, amount)
                    }
                    _ => Some(()),
                }
            }
            TokenInstruction::MintTo { amount } => {
                let holding = self.holdings.get_mut(&account(1)?)?;
                holding.units = holding.units.checked_add(amount)?;
                Some(())
            }
            TokenInstruction::CloseAccount => self.close(account(0)?, account(1)?),
            TokenInstruction::SetAuthority {
                authority_type: AuthorityType::AccountOwner,
                new_authority,
            } => {
                let owner = Option::<Pubkey>::from(new_authority)?;
                self.holdings.get_mut(&account(0)?)?.owner = owner;
                Some(())
            }
            TokenInstruction::Batch { data } => self.batch(program, accounts, &data),
            _ => Some(()),
        }
    }

    fn move_tokens(&mut self, program: Pubkey, from: Pubkey, to: Pubkey, units: u64) -> Option<()> {
        let source = self.holdings.get(&from)?;
        let mint = source.mint;
        let fits = self.holdings.get(&to)?.mint == mint
            && self.mints.get(&mint)?.program == program
            && source.units >= units;
        if !fits || from == to {
            return fits.then_some(());
        }
        let received = units - self.transfer_fee(&mint, units);
        self.holdings.get_mut(&from)?.units -= units;
        let destination = self.holdings.get_mut(&to)?;
        destination.units = destination.units.checked_add(received)?;
        Some(())
    }

    /// What the program keeps of a transfer, rounded up.
    pub fn transfer_fee(&self, mint: &Pubkey, units: u64) -> u64 {
        let points = self.mints.get(mint).map_or(0, |mint| mint.fee_basis_points);
        let fee = (u128::from(units) * u128::from(points)).div_ceil(10_000);
        u64::try_from(fee).unwrap()
    }

    fn close(&mut self, account: Pubkey, destination: Pubkey) -> Option<()> {
        let empty = self.holdings.get(&account)?.units == 0 && account != destination;
        empty.then_some(())?;
        self.holdings.remove(&account);
        let rent = self.lamports.get(&account).copied()?;
        self.move_lamports(account, destination, rent)
    }

    fn batch(&mut self, program: Pubkey, mut accounts: &[Pubkey], mut data: &[u8]) -> Option<()> {
        while let [count, length, rest @ ..] = data {
            let (own, others) = accounts.split_at_checked(usize::from(*count))?;
            let (bytes, left) = rest.split_at_checked(usize::from(*length))?;
            (bytes.first() != Some(&255)).then_some(())?;
            self.token(program, own, bytes)?;
            (accounts, data) = (others, left);
        }
        Some(())
    }
}
