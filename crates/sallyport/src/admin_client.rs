//! Asking the admin pages of a running server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer that is read.
const MAX_ANSWER: u64 = 16 << 20;

/// Method and path in `line`, each header with its end of line. Anything but 200 is an error with the server's words.
pub(crate) fn request(admin: SocketAddr, line: &str, headers: &str) -> anyhow::Result<String> {
    let mut stream =
        TcpStream::connect_timeout(&admin, PATIENCE).with_context(|| format!("admin listener on {admin}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{line} HTTP/1.1\r\nHost: {admin}\r\n{headers}Connection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut response).context("no answer")?;
    let (head, body) = response.split_once("\r\n\r\n").context("no answer that HTTP knows")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("refused: {}", body.trim_end());
    }
    Ok(body.to_owned())
}

/// `sallyport explain`: prints why the call has audio or not.
pub(crate) fn print_call(admin: SocketAddr, call_id: &str, json: bool) -> anyhow::Result<()> {
    let accept = if json { "application/json" } else { "text/plain" };
    let body = request(admin, &format!("GET /calls/{}", path_segment(call_id)), &format!("Accept: {accept}\r\n"))?;
    let _ = writeln!(std::io::stdout(), "{}", body.trim_end());
    Ok(())
}

/// Percent-encoded (RFC 3986 §2.1): a Call-ID may hold anything that SIP calls a word.
fn path_segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => segment.push(char::from(byte)),
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_encoded_so_that_it_stays_one_path() {
        assert_eq!(path_segment("aB9-._~"), "aB9-._~");
        assert_eq!(path_segment("a/b?c#d e%\r\n@ö"), "a%2Fb%3Fc%23d%20e%25%0D%0A%40%C3%B6");
    }
}
