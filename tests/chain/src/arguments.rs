//! The command line.

/// What the program takes.
pub(crate) const HELP: &str = "\
usage: quittance-chain [--slot-ms MILLISECONDS] [--rpc-port PORT] [--ws-port PORT]
  --slot-ms   how long a slot takes, 1 to 10000; a transaction is final after 31 of them (50)
  --rpc-port  loopback port of JSON-RPC (a free one)
  --ws-port   loopback port of the subscriptions (a free one)";

const SLOT_MS_DEFAULT: u64 = 50;
const SLOT_MS_MAX: u64 = 10_000;

/// What is wrong with the command line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArgumentsError {
    /// There is no such flag.
    #[error("`{0}` is no flag")]
    Unknown(String),
    /// The flag needs a number.
    #[error("{0} needs a number after it, in its bounds")]
    NotANumber(String),
}

/// The chain's settings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// How long a slot takes.
    pub(crate) slot_ms: u64,
    /// The port of JSON-RPC; 0 for a free one.
    pub(crate) rpc_port: u16,
    /// The port of the subscriptions; 0 for a free one.
    pub(crate) ws_port: u16,
}

impl Arguments {
    /// Reads the words after the program's name.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, ArgumentsError> {
        let mut arguments = Self {
            slot_ms: SLOT_MS_DEFAULT,
            rpc_port: 0,
            ws_port: 0,
        };
        let mut words = words;
        while let Some(flag) = words.next() {
            let number = words.next().and_then(|word| word.parse().ok());
            let number = number.filter(|number| *number > 0);
            let port = || number.and_then(|port| u16::try_from(port).ok());
            let understood = match flag.as_str() {
                "--slot-ms" => number
                    .filter(|slot_ms| *slot_ms <= SLOT_MS_MAX)
                    .map(|slot_ms| arguments.slot_ms = slot_ms),
                "--rpc-port" => port().map(|port| arguments.rpc_port = port),
                "--ws-port" => port().map(|port| arguments.ws_port = port),
                _ => return Err(ArgumentsError::Unknown(flag)),
            };
            understood.ok_or(ArgumentsError::NotANumber(flag))?;
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, ArgumentsError> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read_and_others_refused() {
        let given = parse("--ws-port 9 --slot-ms 400 --rpc-port 8").expect("understood");
        let wanted = Arguments {
            slot_ms: 400,
            rpc_port: 8,
            ws_port: 9,
        };
        assert_eq!(given, wanted);
        assert_eq!(parse("").expect("defaults").slot_ms, SLOT_MS_DEFAULT);
        for wrong in [
            "--port 1",
            "--slot-ms",
            "--slot-ms 0",
            "--slot-ms 10001",
            "--ws-port 65536",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
