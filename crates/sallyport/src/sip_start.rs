//! SIP at the start: sockets, users, routes, and the user of a server that nobody has configured.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use b2bua::{B2bua, B2buaConfig, Destination, LegPolicy, Pattern, Route, RouteSource, Trunk, UriTarget, User, Users};
use rand::TryRng;
use rand::rngs::SysRng;
use sip::{Account, Transport, Uri};
use sip_transport::{
    BindError, ClientAuth, Identity, Inbox, Listener, Roots, TlsConfig, TransportConfig, Transports, WebConfig,
};
use zeroize::Zeroizing;

use crate::settings::{Listen, Role, RouteTo, Settings, SipFixed, SipLive, TrunkSetting};
use crate::{sip_smime, web_phone};

/// The user of a server without a users file.
const DEMO: &str = "demo";

/// Letters and digits that are not taken for one another.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// SIP that has started.
pub(crate) struct Started {
    pub(crate) b2bua: B2bua,
    pub(crate) transports: Transports,
    pub(crate) inbox: Inbox,
    /// Of the user `demo`, where there is no users file.
    pub(crate) demo_password: Option<Zeroizing<String>>,
}

/// Binds and reads everything. `None`: SIP is off, or its default addresses are taken, which the log says.
pub(crate) fn start(settings: &Settings, first_token: u64) -> anyhow::Result<Option<Started>> {
    let (fixed, live) = (&settings.fixed.sip, &settings.live.sip);
    let listeners = fixed.listeners();
    if listeners.is_empty() {
        return Ok(None);
    }
    let demo_password = live.users.is_none().then(password).transpose()?;
    let (config, users) = configuration(fixed, live, demo_password.as_ref())?;
    let (transports, inbox) = match bind(fixed, live, &listeners) {
        Ok(bound) => bound,
        Err(BindError::Listener(listener, error))
            if fixed.listen.is_none() && error.kind() == std::io::ErrorKind::AddrInUse =>
        {
            let Listener { transport, address, .. } = listener;
            tracing::warn!(
                "sip: {transport} {address}, where SIP is served by default, is taken by another program: there is no SIP. \
                 Name other addresses in sip.listen or by --sip, or write --sip off"
            );
            return Ok(None);
        }
        Err(error) => bail!("sip: {error}"),
    };
    // Where the media half is another process, calls go on without this one.
    let remember = settings.fixed.role == Role::Signal;
    let config = B2buaConfig { advertised: advertised(&listeners, &transports), remember, ..config };
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).context("the system gives no random numbers")?;
    let mut b2bua = B2bua::new(config, users, Instant::now(), seed, first_token);
    sip_smime::configure(&mut b2bua, live)?;
    Ok(Some(Started { b2bua, transports, inbox, demo_password }))
}

fn bind(fixed: &SipFixed, live: &SipLive, listeners: &[Listen]) -> Result<(Transports, Inbox), BindError> {
    let listener = |listen: &Listen| Listener {
        transport: listen.transport,
        address: listen.address,
        advertised: listen.advertised.clone(),
    };
    let mut config = TransportConfig::new(listeners.iter().map(listener).collect());
    config.tls = tls(fixed, live).map_err(BindError::Tls)?;
    config.limits.trusted = live.trunks.iter().flat_map(|trunk| trunk.addresses.clone()).collect();
    // Weights of SRV records; no secret.
    let _ = SysRng.try_fill_bytes(&mut config.seed);
    let (transports, inbox) = Transports::bind(config)?;
    transports.set_web(web(live, &transports));
    Ok((transports, inbox))
}

/// What the ports of WebSocket say.
pub(crate) fn web(live: &SipLive, transports: &Transports) -> WebConfig {
    web_phone::web(&live.origins, transports.listeners())
}

/// Certificates for TLS listeners, and whom we trust when we connect.
fn tls(fixed: &SipFixed, live: &SipLive) -> Result<Option<TlsConfig>, sip_transport::TlsError> {
    let identities = match (&fixed.certificate, &fixed.key) {
        (Some(certificate), Some(key)) => vec![Identity::from_files(certificate, key)?],
        _ => return Ok(None),
    };
    let roots = match &fixed.roots {
        Some(path) => Roots::Pem(std::fs::read(path).map_err(|error| sip_transport::TlsError::File(error.kind()))?),
        None => Roots::System,
    };
    let asks = live.trunks.iter().any(|trunk| !trunk.identities.is_empty());
    let client_auth = if asks { ClientAuth::Optional } else { ClientAuth::Off };
    Ok(Some(TlsConfig { identities, roots, client_auth }))
}

/// What Via and Contact say where it is not the socket's address.
fn advertised(listeners: &[Listen], transports: &Transports) -> Vec<(Transport, sip::SentBy)> {
    let configured = listeners.iter().zip(transports.listeners()).filter(|(listen, _)| listen.advertised.is_some());
    configured.map(|(_, bound)| (bound.transport, bound.sent_by.clone())).collect()
}

/// What is read from files, too.
pub(crate) fn configuration(
    fixed: &SipFixed,
    live: &SipLive,
    demo_password: Option<&Zeroizing<String>>,
) -> anyhow::Result<(B2buaConfig, Users)> {
    let mut config = B2buaConfig::new(&fixed.realm);
    config.algorithms.clone_from(&fixed.algorithms);
    config.limits.calls = fixed.calls;
    config.max_ring_time = fixed.max_ring_time;
    config.max_calls_per_user = live.max_calls_per_user;
    config.phones = LegPolicy { keying: live.phones, interface: None, smime: live.phones_smime };
    config.sdes_over_cleartext = live.sdes_over_cleartext;
    config.sips_bridge = live.sips_bridge;
    config.refer = fixed.refer;
    config.pass_headers.clone_from(&live.pass_headers);
    config.ring_time = live.ring_time;
    config.trunks = live.trunks.iter().map(trunk).collect::<anyhow::Result<_>>()?;
    config.routes = live
        .routes
        .iter()
        .map(|route| Route {
            pattern: Pattern::new(&route.user),
            from: match route.from.as_str() {
                "anybody" => RouteSource::Anybody,
                "users" => RouteSource::Users,
                name => RouteSource::Trunk(name.to_owned()),
            },
            to: destination(&route.to),
        })
        .collect();
    let users = match (&live.users, demo_password) {
        (Some(path), _) => read_users(path, &fixed.realm)?,
        (None, Some(password)) => Users::new([User::new(DEMO, &fixed.realm, password)?]),
        (None, None) => Users::default(),
    };
    Ok((config, users))
}

fn destination(to: &RouteTo) -> Destination {
    let target = |text: &String| match Uri::parse(text).filter(|uri| uri.as_sip().is_some()) {
        Some(uri) => UriTarget::Uri(uri),
        None => UriTarget::User(text.clone()),
    };
    match to {
        RouteTo::Registered => Destination::Registered,
        RouteTo::Echo => Destination::Echo,
        RouteTo::Trunk(name) => Destination::Trunk(name.clone()),
        RouteTo::Targets(groups) => {
            Destination::Targets(groups.iter().map(|group| group.iter().map(target).collect()).collect())
        }
    }
}

fn trunk(setting: &TrunkSetting) -> anyhow::Result<Trunk> {
    let account = match (&setting.username, &setting.password_file) {
        (Some(username), Some(path)) => {
            let text = std::fs::read_to_string(path).map(Zeroizing::new);
            let text = text.with_context(|| format!("sip.trunks: {}: {}", setting.name, path.display()))?;
            let password = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
            Some(Account { realm: None, username: username.clone(), password })
        }
        _ => None,
    };
    Ok(Trunk {
        name: setting.name.clone(),
        uri: setting.uri.clone(),
        account,
        addresses: setting.addresses.clone(),
        identities: setting.identities.clone(),
        max_calls: setting.max_calls,
        policy: LegPolicy { keying: setting.keying, interface: setting.interface.clone(), smime: setting.smime },
    })
}

fn read_users(path: &Path, realm: &str) -> anyhow::Result<Users> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.with_context(|| format!("sip.users: {}", path.display()))?;
    let users = Users::parse(&text).map_err(|faults| {
        let lines: Vec<String> =
            faults.iter().map(|(line, fault)| format!("sip.users: {}:{line}: {fault}", path.display())).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    if let Some((name, other)) = users.foreign(realm) {
        bail!(
            "sip.users: {}: {name} is of realm {other}, and sip.realm is {realm}: it could never log in",
            path.display()
        );
    }
    Ok(users)
}

/// Reads what the settings name, and binds nothing.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    configuration(&settings.fixed.sip, &settings.live.sip, None)?;
    sip_smime::read(&settings.live.sip.smime)?;
    tls(&settings.fixed.sip, &settings.live.sip).map_err(|error| anyhow::anyhow!("sip.certificate: {error}"))?;
    Ok(())
}

/// Twelve characters: 60 bits.
fn password() -> anyhow::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 12]);
    SysRng.try_fill_bytes(&mut *bytes).context("the system gives no random numbers")?;
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    Ok(Zeroizing::new(bytes.iter().map(letter).collect()))
}

/// What a newcomer reads of SIP: where it is served, and the addresses of the web phone.
pub(crate) fn introduction(started: Option<&Started>, settings: &Settings) -> (String, Vec<String>) {
    let Some(started) = started else { return ("off".to_owned(), Vec::new()) };
    let bound: Vec<String> = started
        .transports
        .listeners()
        .iter()
        .map(|listener| format!("{} {}", listener.transport.as_str().to_ascii_lowercase(), address(listener.address)))
        .collect();
    let mut line = format!("{}; realm {}", bound.join(", "), settings.fixed.sip.realm);
    if let Some(password) = &started.demo_password {
        // Made at each start, until `sip.users` names a file.
        line.push_str(&format!("; user {DEMO}, password {}", **password));
    }
    (line, web_phone::addresses(started.transports.listeners()))
}

fn address(address: SocketAddr) -> String {
    address.to_string()
}
