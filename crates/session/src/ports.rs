//! Port policy: each worker has a share of the range, and ports of it are drawn at random.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use control::WorkerId;

use crate::secrets::Secrets;

/// A port that somebody else holds is not tried again for this long.
const FOREIGN_FOR: Duration = Duration::from_secs(60);

/// Which ports are ours. RTP ports are even where there is a choice; RTCP with a port of its own has the next one
/// (RFC 3550 §11).
pub(crate) struct PortPool {
    first: u16,
    pairs_per_worker: usize,
    workers: u16,
    taken: HashSet<SocketAddr>,
    /// Of `taken`, how many are in each worker's share.
    loads: Vec<usize>,
    /// Workers that have ended.
    lost: HashSet<usize>,
    foreign: HashMap<SocketAddr, Instant>,
}

impl PortPool {
    pub(crate) fn new((first, last): (u16, u16), workers: u16) -> Self {
        let workers = workers.max(1);
        let first = first.max(2).next_multiple_of(2);
        let pairs = (usize::from(last) + 1).saturating_sub(usize::from(first)) / 2;
        let pairs_per_worker = pairs / usize::from(workers);
        let loads = vec![0; usize::from(workers)];
        Self {
            first,
            pairs_per_worker,
            workers,
            taken: HashSet::new(),
            loads,
            lost: HashSet::new(),
            foreign: HashMap::new(),
        }
    }

    /// The worker with the fewest ports in use, of those that are not lost.
    pub(crate) fn least_loaded(&self) -> WorkerId {
        let living = self.loads.iter().enumerate().filter(|&(worker, _)| !self.lost.contains(&worker));
        let least = living.min_by_key(|&(_, load)| load).map_or(0, |(worker, _)| worker);
        WorkerId(least as u16)
    }

    /// The worker has ended: it gets no call any more.
    pub(crate) fn lose(&mut self, worker: WorkerId) {
        self.lost.insert(worker.0.into());
    }

    /// An even port and the next one.
    pub(crate) fn take_pair(
        &mut self,
        now: Instant,
        secrets: &mut Secrets,
        worker: WorkerId,
        ip: IpAddr,
    ) -> Option<(SocketAddr, SocketAddr)> {
        let pair = self.pairs(secrets, worker).map(|port| (SocketAddr::new(ip, port), SocketAddr::new(ip, port + 1)));
        let (rtp, rtcp) = pair.into_iter().find(|&(rtp, rtcp)| self.is_free(now, rtp) && self.is_free(now, rtcp))?;
        self.insert(rtp);
        self.insert(rtcp);
        Some((rtp, rtcp))
    }

    /// An even port; an odd one when there is none.
    pub(crate) fn take_one(
        &mut self,
        now: Instant,
        secrets: &mut Secrets,
        worker: WorkerId,
        ip: IpAddr,
    ) -> Option<SocketAddr> {
        let ports: Vec<u16> = self.pairs(secrets, worker).collect();
        let odd = ports.iter().map(|port| port + 1);
        let mut addresses = ports.iter().copied().chain(odd).map(|port| SocketAddr::new(ip, port));
        let free = addresses.find(|&address| self.is_free(now, address))?;
        self.insert(free);
        Some(free)
    }

    /// This very one.
    pub(crate) fn take(&mut self, now: Instant, address: SocketAddr) -> bool {
        let worker = self.worker_of(address.port());
        worker < usize::from(self.workers) && self.is_free(now, address) && self.insert(address)
    }

    /// This very one, which is bound already.
    pub(crate) fn claim(&mut self, address: SocketAddr) {
        self.insert(address);
    }

    pub(crate) fn release(&mut self, address: SocketAddr) {
        let worker = self.worker_of(address.port());
        if self.taken.remove(&address)
            && let Some(load) = self.loads.get_mut(worker)
        {
            *load = load.saturating_sub(1);
        }
    }

    /// Somebody else has it.
    pub(crate) fn mark_foreign(&mut self, now: Instant, address: SocketAddr) {
        self.release(address);
        self.foreign.retain(|_, until| *until > now);
        self.foreign.insert(address, now + FOREIGN_FOR);
    }

    /// Why none could be had.
    pub(crate) fn exhausted(&self, worker: WorkerId, ip: IpAddr) -> String {
        let first = usize::from(self.first) + usize::from(worker.0) * self.pairs_per_worker * 2;
        let last = (first + self.pairs_per_worker * 2).saturating_sub(1);
        format!("no free port on {ip} in {first}-{last}, the share of worker {}", worker.0)
    }

    pub(crate) fn in_use(&self) -> usize {
        self.taken.len()
    }

    /// The even ports of a worker's share, all of them once, from a random one on.
    fn pairs(&self, secrets: &mut Secrets, worker: WorkerId) -> impl Iterator<Item = u16> + use<> {
        let count = self.pairs_per_worker;
        let base = usize::from(self.first) + usize::from(worker.0) * count * 2;
        let start = secrets.below(count);
        (0..count).filter_map(move |step| u16::try_from(base + (start + step) % count * 2).ok())
    }

    fn insert(&mut self, address: SocketAddr) -> bool {
        let worker = self.worker_of(address.port());
        let is_new = self.taken.insert(address);
        if let Some(load) = self.loads.get_mut(worker).filter(|_| is_new) {
            *load += 1;
        }
        is_new
    }

    fn is_free(&self, now: Instant, address: SocketAddr) -> bool {
        !self.taken.contains(&address) && self.foreign.get(&address).is_none_or(|&until| until <= now)
    }

    fn worker_of(&self, port: u16) -> usize {
        (usize::from(port).saturating_sub(usize::from(self.first)) / 2).checked_div(self.pairs_per_worker).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[allow(clippy::disallowed_methods)] // any instant will do
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn shares_do_not_overlap_and_pairs_are_even_and_next_to_each_other() {
        let now = now();
        let mut secrets = Secrets::new([1; 32]);
        let mut pool = PortPool::new((10_001, 10_040), 3);
        let mut seen = HashSet::new();
        for worker in 0..3 {
            while let Some((rtp, rtcp)) = pool.take_pair(now, &mut secrets, WorkerId(worker), IP) {
                assert_eq!(rtp.port() % 2, 0);
                assert_eq!(rtcp.port(), rtp.port() + 1);
                assert!(seen.insert(rtp) && seen.insert(rtcp));
                assert_eq!(pool.worker_of(rtp.port()), usize::from(worker));
            }
        }
        assert_eq!(seen.len(), 36);
        assert!(seen.iter().all(|address| (10_002..=10_037).contains(&address.port())));
    }

    #[test]
    fn ports_are_not_handed_out_in_sequence() {
        let now = now();
        let mut secrets = Secrets::new([2; 32]);
        let mut pool = PortPool::new((10_000, 29_999), 1);
        let ports: Vec<u16> =
            (0..4).filter_map(|_| pool.take_one(now, &mut secrets, WorkerId(0), IP)).map(|a| a.port()).collect();
        assert!(ports.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 2), "{ports:?}");
    }

    #[test]
    fn a_foreign_port_comes_back_after_a_while() {
        let now = now();
        let mut secrets = Secrets::new([3; 32]);
        let mut pool = PortPool::new((10_000, 10_001), 1);
        let (rtp, rtcp) = pool.take_pair(now, &mut secrets, WorkerId(0), IP).expect("free");
        pool.mark_foreign(now, rtp);
        pool.release(rtcp);
        assert!(pool.take_pair(now, &mut secrets, WorkerId(0), IP).is_none());
        assert!(pool.take_pair(now + FOREIGN_FOR, &mut secrets, WorkerId(0), IP).is_some());
    }

    #[test]
    fn the_least_loaded_worker_gets_the_next_call() {
        let now = now();
        let mut secrets = Secrets::new([4; 32]);
        let mut pool = PortPool::new((10_000, 10_099), 2);
        pool.take_one(now, &mut secrets, WorkerId(0), IP).expect("free");
        assert_eq!(pool.least_loaded(), WorkerId(1));
        pool.lose(WorkerId(1));
        assert_ne!(pool.least_loaded(), WorkerId(1), "a lost worker gets none");
    }
}
