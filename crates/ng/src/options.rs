//! Keys and flags of an offer or answer.

mod known;

use std::time::Duration;

use control::{HashAlgorithm, Profile};
use session::{
    AddressFamily, AttributeChange, AttributeEdit, AttributeLevel, DtlsOption, EndpointLearning, IceLite, IceOption,
    MediaProfile, Options, TransportProtocol,
};

use self::known::{
    DTMF, EDITS, FLAGS_WITHOUT_EFFECT, KEYS_WITHOUT_EFFECT, PLAYS, QUIET_FLAGS, RECORDS, TRANSCODES, UNSUPPORTED_FLAGS,
};
use crate::Value;
use crate::keys::{Keys, excerpt, name, normal, number, strings, text};
use crate::request::Ignored;

/// Reads what is left in `keys` when the parties are taken out. Gives the options and what was ignored.
pub(crate) fn read(keys: Keys) -> Result<(Options, Vec<Ignored>), String> {
    let Reader { options, mut ignored, from_tags } = Reader::of(keys)?;
    if !from_tags.is_empty() {
        ignored.push(Ignored::WithoutEffect("from-tags".to_owned()));
    }
    Ok((options, ignored))
}

/// As [`read`], where several parties may be named; their tags come first.
pub(crate) fn read_with_parties(keys: Keys) -> Result<(Vec<String>, Options, Vec<Ignored>), String> {
    let Reader { options, ignored, from_tags } = Reader::of(keys)?;
    Ok((from_tags, options, ignored))
}

#[derive(Default)]
struct Reader {
    options: Options,
    ignored: Vec<Ignored>,
    from_tags: Vec<String>,
}

impl Reader {
    fn of(keys: Keys) -> Result<Self, String> {
        let mut reader = Self::default();
        for (key, value) in keys.rest() {
            reader.key(&key, &value)?;
        }
        Ok(reader)
    }

    fn key(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let options = &mut self.options;
        match key {
            "flags" => self.each(key, value, Self::flag)?,
            "rtpp-flags" => {
                for flag in split_flags(&text(key, value)?) {
                    self.flag(&flag)?;
                }
            }
            "replace" => self.each(key, value, Self::replace)?,
            "rtcp-mux" => self.each(key, value, Self::rtcp_mux)?,
            "SDES" => self.each(key, value, Self::sdes)?,
            "OSRTP" => self.each(key, value, Self::osrtp)?,
            "ICE" => self.each(key, value, Self::ice)?,
            "direction" => self.direction(strings(key, value)?),
            "codec" => self.codecs(value)?,
            "sdp-attr" => self.attributes(value)?,
            "from-tags" => self.from_tags.extend(strings(key, value)?),
            "sdp-media-remove" => options.media_remove.extend(strings(key, value)?),
            "extmap" => self.extmaps(value)?,
            "DTMF-security" if matches!(text(key, value)?.as_str(), "drop" | "off") => {
                options.block_dtmf = Some(text(key, value)? == "drop");
            }
            "delay-buffer" | "DTMF-delay" | "ptime" | "ptime-reverse" if number(key, value)? == 0 => {}
            "T.38" | "T38" => self.each(key, value, Self::t38)?,
            "ICE-lite" => options.ice_lite = Some(ice_lite(&text(key, value)?)?),
            "transport-protocol" => options.transport_protocol = Some(transport_protocol(&text(key, value)?)?),
            "DTLS" => options.dtls = Some(dtls(&text(key, value)?)?),
            "DTLS-fingerprint" => {
                let hash = text(key, value)?;
                options.dtls_fingerprint = Some(HashAlgorithm::from_name(&hash).ok_or_else(|| bad(key, &hash))?);
            }
            "endpoint-learning" => options.endpoint_learning = Some(endpoint_learning(&text(key, value)?)?),
            "from-interface" => options.interfaces.from = Some(name(key, value)?),
            "to-interface" => options.interfaces.to = Some(name(key, value)?),
            "interface" => {
                let interface = name(key, value)?;
                options.interfaces.from.get_or_insert_with(|| interface.clone());
                options.interfaces.to.get_or_insert(interface);
            }
            "address-family" => {
                let family = text(key, value)?;
                options.address_family = Some(match family.as_str() {
                    "IP4" | "ip4" => AddressFamily::Ip4,
                    "IP6" | "ip6" => AddressFamily::Ip6,
                    _ => return Err(bad(key, &family)),
                });
            }
            "media-address" => {
                let address = text(key, value)?;
                let digits = address.trim_start_matches('[').trim_end_matches(']');
                options.media_address = Some(digits.parse().map_err(|_| bad(key, &address))?);
            }
            "label" | "from-label" | "set-label" => options.label = Some(name(key, value)?),
            "to-label" => options.to_label = Some(name(key, value)?),
            // Below zero: as it was. Above a byte: the default.
            "TOS" => options.traffic_class = u8::try_from(number(key, value)?).ok(),
            "delete-delay" => {
                let seconds = number(key, value)?;
                options.delete_delay = u64::try_from(seconds).ok().map(Duration::from_secs);
            }
            _ => self.foreign_key(key, value)?,
        }
        Ok(())
    }

    /// Keys whose meaning has no place in [`Options`].
    fn foreign_key(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let word = || match value {
            Value::String(_) | Value::Integer(_) => text(key, value),
            _ => Ok(String::new()),
        };
        let reason = match key {
            "record-call" if !matches!(word()?.as_str(), "no" | "off") => RECORDS,
            "generate-RTCP" if word()? != "off" => "this relay passes RTCP on",
            "audio-player" if !matches!(word()?.as_str(), "off" | "default") => PLAYS,
            "media-echo" | "moh" => PLAYS,
            "drop-traffic" if word()? != "stop" => "use the command block media",
            "DTMF-security" if word()? != "off" => DTMF,
            "delay-buffer" | "DTMF-delay" => "this relay does not delay media",
            "ptime" | "ptime-reverse" => "this relay does not repacketize",
            "DTMF-security-trigger"
            | "DTMF-security-trigger-end"
            | "trigger"
            | "trigger-end"
            | "end-trigger"
            | "trigger-end-time"
            | "trigger-end-digits" => "this relay does not detect DTMF",
            "bundle" | "template" => EDITS,
            "alias" | "peer" | "inbound-peer" | "outbound-peer" => "this relay knows a party by its tag",
            "record-call" | "generate-RTCP" | "audio-player" | "drop-traffic" | "DTMF-security" => return Ok(()),
            _ if KEYS_WITHOUT_EFFECT.contains(&key) => {
                self.ignored.push(Ignored::WithoutEffect(key.to_owned()));
                return Ok(());
            }
            _ => {
                self.ignore(key);
                return Ok(());
            }
        };
        self.unsupported(key, reason);
        Ok(())
    }

    fn flag(&mut self, written: &str) -> Result<(), String> {
        let flag = normal(written);
        // Behind a prefix the text counts as written: codec names and suites have underscores of their own.
        let behind = |prefix: &str| {
            flag.starts_with(prefix).then(|| written.get(prefix.len()..)).flatten().filter(|rest| !rest.is_empty())
        };
        if FLAGS_WITHOUT_EFFECT.contains(&flag.as_str()) && !QUIET_FLAGS.contains(&flag.as_str()) {
            self.ignored.push(Ignored::WithoutEffect(flag.clone()));
        }
        let flags = &mut self.options.flags;
        match flag.as_str() {
            "trust-address" => flags.trust_address = true,
            "SIP-source-address" => flags.sip_source_address = true,
            "symmetric" => flags.symmetric = true,
            "asymmetric" => flags.asymmetric = true,
            "strict-source" => flags.strict_source = true,
            "pierce-NAT" => flags.pierce_nat = true,
            "NAT-wait" => flags.nat_wait = true,
            "media-handover" => flags.media_handover = true,
            "port-latching" => flags.port_latching = true,
            "no-port-latching" => flags.no_port_latching = true,
            "generate-mid" => flags.generate_mid = true,
            "reset" => flags.reset = true,
            "no-rtcp-attribute" => flags.no_rtcp_attribute = true,
            "full-rtcp-attribute" => flags.full_rtcp_attribute = true,
            "loop-protect" => flags.loop_protect = true,
            "trickle-ICE" => flags.trickle_ice = true,
            "WebRTC" | "webrtc" => flags.web_rtc = true,
            "original-sendrecv" => flags.original_sendrecv = true,
            "no-tls-id" => flags.no_tls_id = true,
            "reject-ICE" => flags.reject_ice = true,
            "pad-crypto" => flags.pad_crypto = true,
            "single-codec" => flags.single_codec = true,
            "reorder-codecs" => flags.reorder_codecs = true,
            "strip-extmap" => flags.strip_extmap = true,
            "fragment" => flags.fragment = true,
            "block-DTMF" => self.options.block_dtmf = Some(true),
            "passthrough" => flags.pass_through = Some(true),
            "no-passthrough" => flags.pass_through = Some(false),
            "all" => flags.all = true,
            "SIPREC" | "siprec" => flags.siprec = true,
            _ if FLAGS_WITHOUT_EFFECT.contains(&flag.as_str()) => {}
            _ => {
                if let Some((_, reason)) = UNSUPPORTED_FLAGS.iter().find(|(name, _)| *name == flag) {
                    self.unsupported(&flag, reason);
                } else if let Some(option) = behind("SDES-") {
                    self.sdes(option)?;
                } else if let Some(option) = behind("OSRTP-") {
                    self.osrtp(option)?;
                } else if let Some(option) = behind("codec-") {
                    self.codec(option);
                } else if let Some(option) = behind("rtcp-mux-") {
                    self.rtcp_mux(option)?;
                } else if let Some(option) = behind("replace-") {
                    self.replace(option)?;
                } else if let Some(option) = behind("T38-").or(behind("T.38-")) {
                    self.t38(option)?;
                } else if let Some(option) = behind("endpoint-learning-") {
                    self.options.endpoint_learning = Some(endpoint_learning(option)?);
                } else if let Some(edit) = behind("sdp-attr-") {
                    self.attribute_flag(edit)?;
                } else if let Some(media) = behind("sdp-media-remove-") {
                    self.options.media_remove.push(media.to_owned());
                } else if let Some(tag) = behind("from-tags-") {
                    self.from_tags.push(tag.to_owned());
                } else if let Ok(profile) = written.parse::<MediaProfile>() {
                    self.options.transport_protocol = Some(TransportProtocol::Profile(profile));
                } else if let Some((key, value)) = written.split_once('=') {
                    self.written_key(&normal(key), value)?;
                } else {
                    self.ignore(written);
                }
            }
        }
        Ok(())
    }

    /// `key=value` among the flags; `[a b]` is a list.
    fn written_key(&mut self, key: &str, value: &str) -> Result<(), String> {
        // A direction is written twice, once for each side.
        if key == "direction" {
            let interfaces = &mut self.options.interfaces;
            let side = if interfaces.from.is_none() { &mut interfaces.from } else { &mut interfaces.to };
            *side = Some(value.to_owned());
            return Ok(());
        }
        // A list in a list would bring the parser here again; flags inside `flags=` are not a thing.
        if matches!(key, "flags" | "rtpp-flags") {
            self.ignore(key);
            return Ok(());
        }
        let value = match value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
            Some(list) => Value::List(split_flags(list).iter().map(Value::string).collect()),
            None => Value::string(value),
        };
        self.key(key, &value)
    }

    fn direction(&mut self, directions: Vec<String>) {
        let mut directions = directions.into_iter();
        self.options.interfaces.from = directions.next().or(self.options.interfaces.from.take());
        self.options.interfaces.to = directions.next().or(self.options.interfaces.to.take());
    }

    fn replace(&mut self, written: &str) -> Result<(), String> {
        let replace = &mut self.options.replace;
        match normal(written).as_str() {
            "origin" => replace.origin = true,
            "origin-full" => replace.origin_full = true,
            "session-connection" => replace.session_connection = true,
            "SDP-version" | "sdp-version" => replace.sdp_version = true,
            "username" => replace.username = true,
            "session-name" => replace.session_name = true,
            "zero-address" => replace.zero_address = true,
            "force-increment-sdp-ver" => replace.force_increment = true,
            other => self.ignore(&format!("replace {other}")),
        }
        Ok(())
    }

    fn rtcp_mux(&mut self, option: &str) -> Result<(), String> {
        let mux = &mut self.options.rtcp_mux;
        match option {
            "offer" => mux.offer = true,
            "require" => mux.require = true,
            "demux" => mux.demux = true,
            "accept" => mux.accept = true,
            "reject" => mux.reject = true,
            other => return Err(bad("rtcp-mux", other)),
        }
        Ok(())
    }

    fn osrtp(&mut self, option: &str) -> Result<(), String> {
        let osrtp = &mut self.options.osrtp;
        match option {
            "offer" | "offer-RFC" => osrtp.offer = true,
            "offer-legacy" => osrtp.offer_legacy = true,
            "accept-RFC" => osrtp.accept = true,
            "accept-legacy" => osrtp.accept_legacy = true,
            "accept" => {
                osrtp.accept = true;
                osrtp.accept_legacy = true;
            }
            other => return Err(bad("OSRTP", other)),
        }
        Ok(())
    }

    fn ice(&mut self, option: &str) -> Result<(), String> {
        let options = &mut self.options;
        match normal(option).as_str() {
            "remove" => options.ice = Some(IceOption::Remove),
            "force" => options.ice = Some(IceOption::Force),
            "force-relay" => options.ice = Some(IceOption::ForceRelay),
            "default" => options.ice = Some(IceOption::Default),
            "optional" => options.ice = Some(IceOption::Optional),
            "trickle" => options.flags.trickle_ice = true,
            "reject" => options.flags.reject_ice = true,
            "ice2" => {}
            other => match other.strip_prefix("lite-") {
                Some(lite) => options.ice_lite = Some(ice_lite(lite)?),
                None => return Err(bad("ICE", option)),
            },
        }
        Ok(())
    }

    fn sdes(&mut self, option: &str) -> Result<(), String> {
        let sdes = &mut self.options.sdes;
        let suites = |list: &str| list.split([';', ',']).filter_map(Profile::from_sdes_name).collect::<Vec<_>>();
        match option.to_ascii_lowercase().replace('-', "_").as_str() {
            "off" | "no" | "disable" => sdes.off = true,
            "nonew" => sdes.no_new = true,
            "pad" => sdes.pad = true,
            "lifetime" => sdes.lifetime = true,
            "static" => sdes.fixed = true,
            "prefer" => sdes.prefer = true,
            "unencrypted_srtp" => sdes.encrypt_rtp = Some(false),
            "encrypted_srtp" => sdes.encrypt_rtp = Some(true),
            "unencrypted_srtcp" => sdes.encrypt_rtcp = Some(false),
            "encrypted_srtcp" => sdes.encrypt_rtcp = Some(true),
            "unauthenticated_srtp" => sdes.authenticate_rtp = Some(false),
            "authenticated_srtp" => sdes.authenticate_rtp = Some(true),
            _ => {
                if let Some(suite) = option.strip_prefix("no-") {
                    // A suite that we do not know is not offered anyway.
                    sdes.exclude.extend(Profile::from_sdes_name(suite));
                } else if let Some(suite) = option.strip_prefix("only-") {
                    sdes.only.push(Profile::from_sdes_name(suite).ok_or_else(|| bad("SDES", option))?);
                } else if let Some(list) = option.strip_prefix("order:") {
                    sdes.order.extend(suites(list));
                } else if let Some(list) = option.strip_prefix("offerer_pref:") {
                    sdes.offerer_preference.extend(suites(list));
                } else {
                    return Err(bad("SDES", option));
                }
            }
        }
        Ok(())
    }

    fn codecs(&mut self, value: &Value) -> Result<(), String> {
        let Value::Dictionary(operations) = value else {
            // `codec=[strip=… except=…]` of a flag string.
            return self.each("codec", value, |reader, option| {
                reader.codec(option);
                Ok(())
            });
        };
        for (operation, codecs) in &operations.0 {
            let operation = normal(&String::from_utf8_lossy(operation));
            for codec in strings(&format!("codec {}", excerpt(&operation)), codecs)? {
                self.codec_operation(&operation, &codec);
            }
        }
        Ok(())
    }

    /// `strip-PCMU` or `strip=PCMU`.
    fn codec(&mut self, written: &str) {
        let (operation, codec) = written.split_once(['-', '=']).unwrap_or((written, ""));
        match codec.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
            Some(list) => split_flags(list).iter().for_each(|codec| self.codec_operation(operation, codec)),
            None => self.codec_operation(operation, codec),
        }
    }

    fn codec_operation(&mut self, operation: &str, codec: &str) {
        let options = &mut self.options.codec;
        match operation {
            "strip" => options.strip.push(codec.to_owned()),
            "mask" => options.mask.push(codec.to_owned()),
            "except" => options.except.push(codec.to_owned()),
            "offer" => options.offer.push(codec.to_owned()),
            "transcode" | "consume" | "accept" | "set" => {
                self.unsupported(&format!("codec {operation}"), TRANSCODES);
            }
            // It keeps a codec out of transcoding, which there is none of.
            "ignore" => self.ignored.push(Ignored::WithoutEffect("codec ignore".to_owned())),
            other => self.ignore(&format!("codec {other}")),
        }
    }

    fn extmaps(&mut self, value: &Value) -> Result<(), String> {
        let Value::Dictionary(operations) = value else {
            return Err(format!("extmap is {}, not a dictionary", value.kind()));
        };
        for (operation, uris) in &operations.0 {
            match normal(&String::from_utf8_lossy(operation)).as_str() {
                // Without a transcoder nobody but the peer could use what is masked.
                "strip" | "mask" => self.options.extmap_strip.extend(strings("extmap", uris)?),
                other => self.unsupported(&format!("extmap {}", excerpt(other)), EDITS),
            }
        }
        Ok(())
    }

    /// `{"audio": {"add": ["ptime:20"], "substitute": [["a", "b"]]}}`
    fn attributes(&mut self, value: &Value) -> Result<(), String> {
        let not = |what: &str, value: &Value| Err(format!("{what} is {}, not a dictionary", value.kind()));
        let Value::Dictionary(levels) = value else { return not("sdp-attr", value) };
        for (level, commands) in &levels.0 {
            let level = String::from_utf8_lossy(level).into_owned();
            let Value::Dictionary(commands) = commands else {
                return not(&format!("sdp-attr {}", excerpt(&level)), commands);
            };
            for (command, values) in &commands.0 {
                let command = String::from_utf8_lossy(command).into_owned();
                match values {
                    // A list of pairs, or one pair alone.
                    Value::List(pairs) if command == "substitute" && pairs.iter().all(is_list) => {
                        for pair in pairs {
                            self.attribute(&level, &command, &strings("sdp-attr substitute", pair)?)?;
                        }
                    }
                    values => self.attribute(&level, &command, &strings("sdp-attr", values)?)?,
                }
            }
        }
        Ok(())
    }

    /// `remove-audio-ssrc:`, `substitute-none-sendrecv>sendonly`; `--` stands for `=` and `..` for a space.
    fn attribute_flag(&mut self, written: &str) -> Result<(), String> {
        let bad = || bad("sdp-attr", written);
        let (command, rest) = written.split_once('-').ok_or_else(bad)?;
        let (level, value) = rest.split_once('-').ok_or_else(bad)?;
        let value = value.replace("--", "=").replace("..", " ");
        let values: Vec<String> = match command {
            "substitute" => value.splitn(2, '>').map(str::to_owned).collect(),
            _ => vec![value],
        };
        self.attribute(level, command, &values)
    }

    fn attribute(&mut self, level: &str, command: &str, values: &[String]) -> Result<(), String> {
        let level = match level {
            "none" | "global" => AttributeLevel::Session,
            media => AttributeLevel::Media(media.to_owned()),
        };
        let changes: Vec<AttributeChange> = match (command, values) {
            ("add", values) => values.iter().cloned().map(AttributeChange::Add).collect(),
            ("remove", values) => values.iter().cloned().map(AttributeChange::Remove).collect(),
            ("substitute", [from, to, ..]) => vec![AttributeChange::Substitute(from.clone(), to.clone())],
            _ => return Err(bad("sdp-attr", command)),
        };
        let edits = changes.into_iter().map(|change| AttributeEdit { level: level.clone(), change });
        self.options.attributes.extend(edits);
        Ok(())
    }

    fn t38(&mut self, option: &str) -> Result<(), String> {
        if matches!(option, "decode" | "force") {
            self.unsupported(&format!("T.38 {option}"), TRANSCODES);
        }
        Ok(())
    }

    fn each(
        &mut self,
        key: &str,
        value: &Value,
        mut read: impl FnMut(&mut Self, &str) -> Result<(), String>,
    ) -> Result<(), String> {
        strings(key, value)?.iter().try_for_each(|item| read(self, item))
    }

    fn ignore(&mut self, name: &str) {
        self.ignored.push(Ignored::Unknown(excerpt(name)));
    }

    fn unsupported(&mut self, name: &str, reason: &str) {
        self.options.unsupported.push(format!("{name} ({reason})"));
    }
}

fn is_list(value: &Value) -> bool {
    matches!(value, Value::List(_))
}

fn transport_protocol(value: &str) -> Result<TransportProtocol, String> {
    match value {
        "accept" => Ok(TransportProtocol::Accept),
        _ => value.parse().map(TransportProtocol::Profile).map_err(|_| bad("transport-protocol", value)),
    }
}

fn dtls(value: &str) -> Result<DtlsOption, String> {
    match value {
        "off" | "no" | "disable" => Ok(DtlsOption::Off),
        "passive" => Ok(DtlsOption::Passive),
        "active" => Ok(DtlsOption::Active),
        _ => Err(bad("DTLS", value)),
    }
}

fn ice_lite(value: &str) -> Result<IceLite, String> {
    match value {
        "forward" => Ok(IceLite::Forward),
        "backward" => Ok(IceLite::Backward),
        "both" => Ok(IceLite::Both),
        "off" => Ok(IceLite::Off),
        _ => Err(bad("ICE-lite", value)),
    }
}

fn endpoint_learning(value: &str) -> Result<EndpointLearning, String> {
    match value {
        "off" => Ok(EndpointLearning::Off),
        "immediate" => Ok(EndpointLearning::Immediate),
        "delayed" => Ok(EndpointLearning::Delayed),
        "heuristic" => Ok(EndpointLearning::Heuristic),
        _ => Err(bad("endpoint-learning", value)),
    }
}

fn bad(key: &str, value: &str) -> String {
    format!("Bad value of {key}: {}", excerpt(value))
}

/// Splits at spaces outside of brackets.
fn split_flags(text: &str) -> Vec<String> {
    let mut flags = Vec::new();
    let mut flag = String::new();
    let mut depth = 0usize;
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c.is_ascii_whitespace() && depth == 0 {
            flags.extend(Some(std::mem::take(&mut flag)).filter(|flag| !flag.is_empty()));
        } else {
            flag.push(c);
        }
    }
    flags.extend(Some(flag).filter(|flag| !flag.is_empty()));
    flags
}

#[cfg(test)]
mod tests;
