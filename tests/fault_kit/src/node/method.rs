//! What a node can be asked.

use std::fmt;

/// The methods of JSON-RPC and WebSocket that the node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of the same name")]
pub enum RpcMethod {
    GetTransaction,
    GetSignaturesForAddress,
    GetSignatureStatuses,
    GetSlot,
    GetBlockHeight,
    GetBlockTime,
    GetLatestBlockhash,
    IsBlockhashValid,
    GetAccountInfo,
    GetMultipleAccounts,
    GetBalance,
    GetMinimumBalanceForRentExemption,
    GetGenesisHash,
    GetVersion,
    GetHealth,
    GetRecentPerformanceSamples,
    GetRecentPrioritizationFees,
    SendTransaction,
    SimulateTransaction,
    GetEpochInfo,
    SlotSubscribe,
    SlotUnsubscribe,
    LogsSubscribe,
    LogsUnsubscribe,
    SignatureSubscribe,
    SignatureUnsubscribe,
}

const ALL: [(RpcMethod, &str); 26] = [
    (RpcMethod::GetTransaction, "getTransaction"),
    (
        RpcMethod::GetSignaturesForAddress,
        "getSignaturesForAddress",
    ),
    (RpcMethod::GetSignatureStatuses, "getSignatureStatuses"),
    (RpcMethod::GetSlot, "getSlot"),
    (RpcMethod::GetBlockHeight, "getBlockHeight"),
    (RpcMethod::GetBlockTime, "getBlockTime"),
    (RpcMethod::GetLatestBlockhash, "getLatestBlockhash"),
    (RpcMethod::IsBlockhashValid, "isBlockhashValid"),
    (RpcMethod::GetAccountInfo, "getAccountInfo"),
    (RpcMethod::GetMultipleAccounts, "getMultipleAccounts"),
    (RpcMethod::GetBalance, "getBalance"),
    (
        RpcMethod::GetMinimumBalanceForRentExemption,
        "getMinimumBalanceForRentExemption",
    ),
    (RpcMethod::GetGenesisHash, "getGenesisHash"),
    (RpcMethod::GetVersion, "getVersion"),
    (RpcMethod::GetHealth, "getHealth"),
    (
        RpcMethod::GetRecentPerformanceSamples,
        "getRecentPerformanceSamples",
    ),
    (
        RpcMethod::GetRecentPrioritizationFees,
        "getRecentPrioritizationFees",
    ),
    (RpcMethod::SendTransaction, "sendTransaction"),
    (RpcMethod::SimulateTransaction, "simulateTransaction"),
    (RpcMethod::GetEpochInfo, "getEpochInfo"),
    (RpcMethod::SlotSubscribe, "slotSubscribe"),
    (RpcMethod::SlotUnsubscribe, "slotUnsubscribe"),
    (RpcMethod::LogsSubscribe, "logsSubscribe"),
    (RpcMethod::LogsUnsubscribe, "logsUnsubscribe"),
    (RpcMethod::SignatureSubscribe, "signatureSubscribe"),
    (RpcMethod::SignatureUnsubscribe, "signatureUnsubscribe"),
];

impl RpcMethod {
    /// The method of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter()
            .find(|(_, known)| *known == name)
            .map(|(method, _)| *method)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        ALL.iter()
            .find(|(method, _)| *method == self)
            .map_or("", |(_, name)| name)
    }
}

impl fmt::Display for RpcMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
