//! Server-sent events, read as they come (WHATWG HTML, section 9.2). Only the data of events is read, which
//! is all that an API like OpenAI's uses.
//!
//! Invariant: the result does not depend on where the stream is cut into pieces.

/// The reader of a stream. It keeps bytes, as a piece may end within a character.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    /// The data of the current event, with a line feed after each line.
    data: Vec<u8>,
    after_carriage_return: bool,
}

/// Takes the data of one event and says whether it needs more.
pub type OnData<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

impl Events {
    /// Takes the next piece and says whether more is needed.
    pub fn push(&mut self, piece: &[u8], on_data: OnData<'_>) -> bool {
        for &byte in piece {
            let ended = self.after_carriage_return && byte == b'\n';
            self.after_carriage_return = byte == b'\r';
            match byte {
                b'\n' if ended => {}
                b'\n' | b'\r' if !self.end_line(on_data) => return false,
                b'\n' | b'\r' => {}
                _ => self.line.push(byte),
            }
        }
        true
    }

    /// Ends the stream. An event without an empty line after it counts too, as some servers leave out the
    /// last empty line.
    pub fn finish(&mut self, on_data: OnData<'_>) {
        if self.line.is_empty() || self.end_line(on_data) {
            self.end_line(on_data);
        }
    }

    fn end_line(&mut self, on_data: OnData<'_>) -> bool {
        if self.line.is_empty() {
            let more = self.data.split_last().is_none_or(|(_, data)| on_data(data));
            self.data.clear();
            return more;
        }
        // `data` alone is a field without a value. A line that begins with a colon is a comment.
        let value = self.line.strip_prefix(b"data:").or((self.line == b"data").then_some(b""));
        if let Some(value) = value {
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.data.push(b'\n');
        }
        self.line.clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let (mut events, mut read) = (Events::default(), Vec::new());
        let mut on_data = |data: &[u8]| {
            read.push(String::from_utf8(data.to_vec()).unwrap());
            data != b"[DONE]"
        };
        if pieces.iter().all(|piece| events.push(piece, &mut on_data)) {
            events.finish(&mut on_data);
        }
        read
    }

    const STREAM: &str = ": hello\r\n\r\ndata: {\"a\":\"ü世🦀\"}\r\n\r\nevent: x\ndata:one\ndata:  two\nid: 7\n\ndata\n\n\
                          \n\ndatax: no\n\n: ping\n\ndata: cr\rdata: cr\r\rdata: [DONE]\n\ndata: late\n\n";

    #[test]
    fn reads_the_same_wherever_it_is_cut() {
        let expected = ["{\"a\":\"ü世🦀\"}", "one\n two", "", "cr\ncr", "[DONE]"];
        let stream = STREAM.as_bytes();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(read(&pieces), expected, "{first} {second}");
            }
        }
        assert_eq!(read(&stream.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn the_last_event_counts_without_its_empty_line() {
        for end in ["", "\n", "\r\n", "\n\n"] {
            assert_eq!(read(&[b"data: a\n\ndata: b", end.as_bytes()]), ["a", "b"], "{end:?}");
        }
        assert!(read(&[b""]).is_empty());
        assert!(read(&[b"\n\n: only comments\n"]).is_empty());
    }
}
