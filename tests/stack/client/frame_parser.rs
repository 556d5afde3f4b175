//! Server-sent events, taken apart byte by byte.

/// One frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RawFrame {
    Event { event: String, data: String },
    Comment(String),
}

/// Takes bytes in any portions and gives frames, as the HTML standard says.
#[derive(Debug, Default)]
pub(super) struct FrameParser {
    line: Vec<u8>,
    /// A carriage return ends a line, and a line feed right after it belongs to it.
    after_return: bool,
    event: String,
    data: Option<String>,
}

impl FrameParser {
    /// Takes the next bytes; returns the frames that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<RawFrame> {
        let mut frames = Vec::new();
        for byte in bytes {
            let joined =
                std::mem::replace(&mut self.after_return, *byte == b'\r') && *byte == b'\n';
            match byte {
                b'\n' if joined => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    frames.extend(self.take_line(&String::from_utf8_lossy(&line)));
                }
                _ => self.line.push(*byte),
            }
        }
        frames
    }

    fn take_line(&mut self, line: &str) -> Option<RawFrame> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            // A frame without data is none.
            let data = self.data.take()?;
            let event = if event.is_empty() {
                "message".to_owned()
            } else {
                event
            };
            return Some(RawFrame::Event { event, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => return Some(RawFrame::Comment(value.to_owned())),
            "event" => value.clone_into(&mut self.event),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // The standard has readers ignore fields that they do not know.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(event: &str, data: &str) -> RawFrame {
        RawFrame::Event {
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn frames_are_taken_apart() {
        let stream = "event: snapshot\ndata: {\"status\":\"pending\"}\n\n: keep-alive\n\n\
                      data:a\ndata: b\n\nevent: nothing\n\nid: 7\nretry: 5\ndata\n\n";
        let frames = FrameParser::default().push(stream.as_bytes());
        let expected = [
            event("snapshot", "{\"status\":\"pending\"}"),
            RawFrame::Comment("keep-alive".to_owned()),
            event("message", "a\nb"),
            event("message", ""),
        ];
        assert_eq!(frames, expected);
    }

    #[test]
    fn all_line_ends_count() {
        let expected = [event("e", "1"), event("message", "2")];
        for end in ["\n", "\r\n", "\r"] {
            let stream = "event: e|data: 1||data: 2||".replace('|', end);
            assert_eq!(
                FrameParser::default().push(stream.as_bytes()),
                expected,
                "{end:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn portions_do_not_matter(
            parts in prop::collection::vec("(event|data|: |x|é|\r|\n|\r\n|:){0,6}", 0..12),
            cuts in prop::collection::vec(0_usize..60, 0..8),
        ) {
            let stream = parts.concat();
            let whole = FrameParser::default().push(stream.as_bytes());
            let mut parser = FrameParser::default();
            let mut frames = Vec::new();
            let mut rest = stream.as_bytes();
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                frames.extend(parser.push(head));
                rest = tail;
            }
            frames.extend(parser.push(rest));
            prop_assert_eq!(frames, whole);
        }
    }
}
