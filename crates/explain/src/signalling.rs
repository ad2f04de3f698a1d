//! What the signalling of a call was, where this server speaks SIP itself.

use std::fmt;

use serde::Serialize;

/// Whose call it was, which way it went, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Signalling {
    /// Request-URI of the caller's INVITE.
    pub uri: String,
    /// Pattern and destination of the route that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Who called.
    pub caller: SignallingParty,
    /// Who was called for it, in their order.
    pub called: Vec<SignallingParty>,
    /// When the INVITE came, in seconds since 1970.
    pub invited: f64,
    /// When the caller heard that it rings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ringing: Option<f64>,
    /// When the caller got its 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<f64>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<f64>,
    /// Final status that the caller got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `caller`, `called`, `timeout`, `media_timeout`, `session_timer`, `transfer`, `operator`, `relay`, `server`, `restart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<&'static str>,
    /// The same in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Blind transfers that were carried out.
    pub transfers: u16,
}

/// One party.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SignallingParty {
    /// The user that it has proven to be, or that it is reached as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The trunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// From, or the Request-URI by which it was called.
    pub uri: String,
    /// Of its leg.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub call_id: String,
    /// `UDP`, `TCP`, `TLS`, `WS`, `WSS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    /// Address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Final status that it gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl fmt::Display for Signalling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = self.route.as_deref().unwrap_or("none");
        writeln!(f, "SIP  to {}, route {}", self.uri.escape_debug(), route.escape_debug())?;
        writeln!(f, "  caller     {}", self.caller)?;
        for called in &self.called {
            writeln!(f, "  called     {called}")?;
        }
        let since = |moment: f64| moment - self.invited;
        for (name, moment) in [("ringing", self.ringing), ("answered", self.answered), ("ended", self.ended)] {
            if let Some(moment) = moment {
                writeln!(f, "  {name:<10} after {:.1} s", since(moment))?;
            }
        }
        if self.transfers > 0 {
            writeln!(f, "  transfers  {}", self.transfers)?;
        }
        Ok(())
    }
}

impl fmt::Display for SignallingParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.user, &self.trunk) {
            (Some(user), _) => write!(f, "user {}, ", user.escape_debug())?,
            (_, Some(trunk)) => write!(f, "trunk {}, ", trunk.escape_debug())?,
            _ => {}
        }
        write!(f, "{}", self.uri.escape_debug())?;
        if let (Some(transport), Some(address)) = (self.transport, &self.address) {
            write!(f, ", {transport} {address}")?;
        }
        match self.status {
            Some(status) => write!(f, ", {status}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_have_written_does_not_steer_a_terminal() {
        let party = SignallingParty {
            user: Some("alice\u{1b}[2J".into()),
            uri: "sip:alice@a.example".into(),
            transport: Some("TLS"),
            address: Some("192.0.2.1:5061".into()),
            ..SignallingParty::default()
        };
        let called = SignallingParty { uri: "sip:bob@\u{7}".into(), status: Some(486), ..SignallingParty::default() };
        let signalling = Signalling {
            uri: "sip:bob@example.com".into(),
            route: Some("* → registered".into()),
            caller: party,
            called: vec![called],
            invited: 100.0,
            ended: Some(102.25),
            ..Signalling::default()
        };
        let text = signalling.to_string();
        assert_eq!(
            text,
            "SIP  to sip:bob@example.com, route * → registered\n  \
               caller     user alice\\u{1b}[2J, sip:alice@a.example, TLS 192.0.2.1:5061\n  \
               called     sip:bob@\\u{7}, 486\n  \
               ended      after 2.2 s\n"
        );
    }
}
