//! The parameters of a request.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::Value;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::RpcFailure;
use crate::chain::{Commitment, State, View};

/// Positional parameters.
pub struct Params<'a>(&'a [Value]);

impl<'a> Params<'a> {
    pub fn of(params: &'a Value) -> Self {
        Self(params.as_array().map_or(&[], Vec::as_slice))
    }

    pub fn get(&self, place: usize) -> Option<&'a Value> {
        self.0.get(place).filter(|value| !value.is_null())
    }

    pub fn text(&self, place: usize) -> Result<&'a str, RpcFailure> {
        let value = self.get(place).ok_or_else(|| missing(place))?;
        value
            .as_str()
            .ok_or_else(|| RpcFailure::invalid_params("Invalid params: expected a string."))
    }

    pub fn key(&self, place: usize) -> Result<Pubkey, RpcFailure> {
        parsed(self.text(place)?)
    }

    pub fn signature(&self, place: usize) -> Result<Signature, RpcFailure> {
        parsed(self.text(place)?)
    }

    pub fn hash(&self, place: usize) -> Result<Hash, RpcFailure> {
        parsed(self.text(place)?)
    }

    pub fn texts(&self, place: usize) -> Result<Vec<&'a str>, RpcFailure> {
        let list = self.get(place).and_then(Value::as_array);
        let list = list.ok_or_else(|| missing(place))?;
        Ok(list.iter().filter_map(Value::as_str).collect())
    }

    pub fn config(&self, place: usize) -> Config<'a> {
        Config(self.get(place))
    }
}

/// The configuration object of a request.
pub struct Config<'a>(Option<&'a Value>);

impl<'a> Config<'a> {
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.0?.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RpcFailure> {
        self.get(name)
            .map(|value| {
                serde_json::from_value(value.clone()).map_err(|error| {
                    RpcFailure::invalid_params(format!("Invalid params: {error}."))
                })
            })
            .transpose()
    }

    pub fn signature(&self, name: &str) -> Result<Option<Signature>, RpcFailure> {
        self.text(name).map(parsed).transpose()
    }

    /// Finalized when it is not given.
    pub fn commitment(&self) -> Result<Commitment, RpcFailure> {
        self.named_commitment("commitment")
    }

    pub fn named_commitment(&self, name: &str) -> Result<Commitment, RpcFailure> {
        self.text(name).map_or(Ok(Commitment::Finalized), |name| {
            name.parse().map_err(|_| {
                RpcFailure::invalid_params(format!(
                    "Invalid params: unknown variant `{name}`, expected one of `processed`, \
                     `confirmed`, `finalized`."
                ))
            })
        })
    }

    /// The commitment of methods that read blocks.
    pub fn block_commitment(&self) -> Result<Commitment, RpcFailure> {
        let commitment = self.commitment()?;
        if commitment == Commitment::Processed {
            let message = "Method does not support commitment below `confirmed`";
            return Err(RpcFailure::invalid_params(message));
        }
        Ok(commitment)
    }

    /// The slot that the answer stands on.
    pub fn slot(
        &self,
        view: &View,
        state: &State,
        commitment: Commitment,
    ) -> Result<u64, RpcFailure> {
        let slot = view.told_slot(state, commitment);
        match self.number("minContextSlot") {
            Some(least) if slot < least => Err(RpcFailure::min_context_slot(slot)),
            _ => Ok(slot),
        }
    }
}

pub fn parsed<T: FromStr>(text: &str) -> Result<T, RpcFailure> {
    text.parse()
        .map_err(|_| RpcFailure::invalid_params("Invalid param: Invalid"))
}

fn missing(place: usize) -> RpcFailure {
    RpcFailure::invalid_params(format!(
        "`params` should have at least {} argument(s)",
        place + 1
    ))
}
