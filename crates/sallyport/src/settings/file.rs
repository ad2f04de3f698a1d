//! Reading the configuration file: all that is wrong with it, at once.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Settings;
use super::address::{PortRange, duplicate};
use super::keys::KEYS;
use super::value::{Fault, Value};

/// Why the file cannot be used: everything that is wrong, by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileErrors(Vec<FileError>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileError {
    file: String,
    line: usize,
    /// Empty: not about one key.
    key: String,
    words: String,
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, error)| {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")
        })
    }
}

impl std::error::Error for FileErrors {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.words)
    }
}

/// What the file says, laid over `settings`. `path` is for the messages.
pub(crate) fn read(path: &Path, text: &str, settings: &mut Settings) -> Result<(), FileErrors> {
    let (document, syntax) = DeTable::parse_recoverable(text);
    let mut reader = Reader { settings, places: BTreeMap::new(), faults: Vec::new() };
    for error in &syntax {
        reader.fault("", error.span().unwrap_or(0..0), error.message().trim_end());
    }
    reader.table("", document.get_ref());
    // A key that could not be read would be missed for the wrong reason.
    if reader.faults.is_empty() {
        reader.check_together();
    }
    let mut faults = reader.faults;
    faults.sort_by_key(|(_, fault)| fault.at.start);
    // One slip can be reported where it stands and again where it leaves the reader.
    faults.dedup();
    if faults.is_empty() {
        return Ok(());
    }
    let file = path.display().to_string();
    let errors = faults.into_iter().map(|(key, Fault { at, words })| {
        let line = 1 + text.bytes().take(at.start).filter(|&byte| byte == b'\n').count();
        FileError { file: file.clone(), line, key, words }
    });
    Err(FileErrors(errors.collect()))
}

struct Reader<'a> {
    settings: &'a mut Settings,
    /// Where each key stands.
    places: BTreeMap<String, Range<usize>>,
    faults: Vec<(String, Fault)>,
}

impl Reader<'_> {
    fn fault(&mut self, key: &str, at: Range<usize>, words: impl Into<String>) {
        self.faults.push((key.to_owned(), Fault { at, words: words.into() }));
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            let is_table =
                KEYS.iter().any(|key| key.name.strip_prefix(&*full).is_some_and(|rest| rest.starts_with('.')));
            match (KEYS.iter().find(|key| key.name == full), value.get_ref()) {
                (Some(key), _) => {
                    self.places.insert(full.clone(), value.span());
                    if let Err(fault) = (key.set)(self.settings, Value(value)) {
                        self.faults.push((full, fault));
                    }
                }
                (None, DeValue::Table(inner)) if is_table => self.table(&format!("{full}."), inner),
                (None, _) if is_table => {
                    self.fault(&full, value.span(), format!("this is a table: write [{full}]"));
                }
                (None, _) => self.fault(&full, name.span(), unknown(&full)),
            }
        }
    }

    /// What only several keys together can have wrong.
    fn check_together(&mut self) {
        let at = |places: &BTreeMap<String, Range<usize>>, key: &str| places.get(key).cloned();
        let fixed = &self.settings.fixed;
        let mut found = Vec::new();
        for (present, absent) in [("dtls.certificate", "dtls.key"), ("dtls.key", "dtls.certificate")] {
            if let (Some(place), None) = (at(&self.places, present), at(&self.places, absent)) {
                found.push((present, place, format!("{absent} is missing: they come together")));
            }
        }
        let defaults = &self.settings.live.defaults;
        let outside = defaults.sdes_offered.iter().find(|suite| !defaults.sdes_accepted.contains(suite));
        if let Some(suite) = outside {
            let key = if self.places.contains_key("sdes.offer") { "sdes.offer" } else { "sdes.accept" };
            let words = format!("{} is in sdes.offer and not in sdes.accept", suite.sdes_name());
            found.push((key, at(&self.places, key).unwrap_or(0..0), words));
        }
        let ports = PortRange(fixed.ports.0, fixed.ports.1);
        if fixed.workers > 0 && !ports.suffices(fixed.workers) {
            let key = if self.places.contains_key("ports") { "ports" } else { "workers" };
            let words = format!("{}-{} is too narrow for {} workers", ports.0, ports.1, fixed.workers);
            found.push((key, at(&self.places, key).unwrap_or(0..0), words));
        }
        let interfaces = &self.settings.live.interfaces;
        if let Some(index) = duplicate(interfaces) {
            let words = two_addresses(&interfaces[index].name);
            found.push(("media", at(&self.places, "media").unwrap_or(0..0), words));
        }
        if let Some((key, words)) = super::sip::check_together(&fixed.sip, &self.settings.live.sip) {
            found.push((key, at(&self.places, key).unwrap_or(0..0), words));
        }
        self.faults.extend(found.into_iter().map(|(key, at, words)| (key.to_owned(), Fault { at, words })));
    }
}

/// What is said of a name with two addresses.
pub(crate) fn two_addresses(name: &str) -> String {
    format!("{name} has two addresses of one family; give one of them another name")
}

/// Says that a key is unknown, and which one may have been meant.
fn unknown(full: &str) -> String {
    let last = full.rsplit('.').next().unwrap_or(full);
    let tables = KEYS.iter().filter_map(|key| key.name.split_once('.')).map(|(table, _)| table);
    let likeness = |known: &str| {
        let whole = strsim::damerau_levenshtein(full, known);
        // The right key in the wrong table.
        let moved = known.rsplit_once('.').map_or(usize::MAX, |(_, end)| strsim::damerau_levenshtein(last, end) + 1);
        whole.min(moved)
    };
    let best = KEYS.iter().map(|key| key.name).chain(tables).min_by_key(|known| likeness(known));
    match best.filter(|known| likeness(known) <= 1 + last.len() / 3) {
        Some(known) => format!("there is no such key; did you mean {known}?"),
        None => "there is no such key".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn errors(text: &str) -> Vec<String> {
        match read(Path::new("x.toml"), text, &mut Settings::default()) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn every_error_is_named_with_line_and_key() {
        let text = "\
            ng = \"127.0.0.1\"\n\
            worker = 2\n\
            ports = 10000\n\
            [timeouts]\n\
            media = \"60\"\n\
            hold = \"3s\"\n\
            offfer = \"1h\"\n\
            [limits]\n\
            calls = 0\n\
            [tls]\n\
            [sdes]\n\
            offer = [\"AEAD_AES_128_GCM\",\n  \"AES_128\"]\n\
            deadline = \"3s\"\n";
        let expected = [
            "x.toml:1: ng: invalid socket address syntax",
            "x.toml:2: worker: there is no such key; did you mean workers?",
            "x.toml:3: ports: this is an integer, a string is wanted",
            "x.toml:5: timeouts.media: \"60\" is no duration; write \"500ms\", \"30s\", \"5m\", \"2h\" or \"1d\"",
            "x.toml:7: timeouts.offfer: there is no such key; did you mean timeouts.offer?",
            "x.toml:9: limits.calls: 0 is not between 1 and 1000000",
            "x.toml:10: tls: there is no such key; did you mean dtls?",
            "x.toml:13: sdes.offer: \"AES_128\" is none of AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, \
             AES_192_CM_HMAC_SHA1_80, AES_192_CM_HMAC_SHA1_32, AES_256_CM_HMAC_SHA1_80, AES_256_CM_HMAC_SHA1_32, \
             AEAD_AES_128_GCM, AEAD_AES_256_GCM",
            "x.toml:14: sdes.deadline: there is no such key; did you mean dtls.deadline?",
        ];
        assert_eq!(errors(text), expected);
    }

    #[test]
    fn what_is_no_toml_is_named_with_its_line_beside_the_rest() {
        let found = errors("workers = 0\nng = \nadmin = \"127.0.0.1:9090\"\nadmin = \"127.0.0.1:9091\"\n");
        for (line, words) in [(1, "workers: 0 is not between 1 and 256"), (2, ""), (4, "duplicate key")] {
            let start = format!("x.toml:{line}: ");
            assert!(found.iter().any(|error| error.starts_with(&start) && error.contains(words)), "{line}: {found:?}");
        }
    }

    #[test]
    fn keys_that_contradict_each_other_are_named() {
        let suites = "[sdes]\naccept = [\"AEAD_AES_128_GCM\"]\n";
        let expected = "x.toml:2: sdes.accept: AEAD_AES_256_GCM is in sdes.offer and not in sdes.accept";
        assert_eq!(errors(suites), [expected]);
        let expected = "x.toml:2: dtls.key: dtls.certificate is missing: they come together";
        assert_eq!(errors("[dtls]\nkey = \"/x\"\n"), [expected]);
        let expected = "x.toml:1: ports: 10000-10006 is too narrow for 2 workers";
        assert_eq!(errors("ports = \"10000-10006\"\nworkers = 2\n"), [expected]);
        let expected =
            "x.toml:1: media: default has two addresses of one family; give one of them another name".to_owned();
        assert_eq!(errors("media = [\"192.0.2.1\", \"192.0.2.2\"]\n"), [expected]);
        let expected = "x.toml:2: log.level: \"inof\" is none of error, warn, info, debug, trace, off";
        assert_eq!(errors("[log]\nlevel = \"inof,ng=debug\"\n"), [expected]);
        assert_eq!(errors("[log]\nlevel = \"warn,sallyport_ng=debug\"\n"), [""; 0]);
        assert_eq!(errors("[dtls]\nprofiles = [\"AES_192_CM_HMAC_SHA1_80\"]\n").len(), 1, "DTLS has no number for it");
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let mut settings = Settings::default();
        read(Path::new("x.toml"), "[timeouts]\nmedia = \"30s\"\n", &mut settings).unwrap();
        let mut expected = Settings::default();
        expected.live.timeouts.media = Duration::from_secs(30);
        assert_eq!(settings, expected);
    }
}
