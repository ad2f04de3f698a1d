//! A batch's state is asked for before the batch is dealt with.

use arrayvec::ArrayVec;
use datagram::{BATCH_CAPACITY, Datagram};
use prefetch::prefetch;

use super::Shard;
use crate::route::Route;
use crate::transport::{Ingress, Transport};

/// Where a packet comes in and where it probably leaves.
#[derive(Clone, Copy)]
struct Way<'a> {
    ingress: &'a Transport,
    egress: Option<&'a Transport>,
}

impl Shard {
    /// Asks for the memory that a batch of RTP on its usual way needs. State hangs on state, so it goes in steps, each of
    /// which wants what the one before it has asked for, and in each of them the packets' pieces of memory come side by
    /// side. Changes nothing.
    pub(super) fn prefetch(&self, datagrams: &[Datagram]) {
        // A single packet would wait just the same.
        if datagrams.len() < 2 {
            return;
        }
        let mut ways: ArrayVec<Way<'_>, BATCH_CAPACITY> = ArrayVec::new();
        let transports = datagrams.iter().take(BATCH_CAPACITY).filter_map(|datagram| {
            let slot = self.ports.slot(datagram.port())?;
            self.transports.get(slot)
        });
        ways.extend(transports.map(|ingress| Way { ingress, egress: None }));
        for way in &ways {
            way.ingress.prefetch_ingress();
        }
        for way in &ways {
            way.ingress.path.prefetch();
            way.ingress.streams_in.prefetch();
            prefetch(way.ingress.routes.as_slice(), size_of::<Route>());
            if let Ingress::Keyed { context, .. } = way.ingress.ingress {
                self.inbounds.prefetch(context);
            }
        }
        for way in &mut ways {
            let route = way.ingress.routes.first();
            way.egress = route.and_then(|route| self.transports.get(route.egress?));
            way.egress.into_iter().for_each(Transport::prefetch_egress);
            self.prefetch_inbound(way.ingress, 0);
        }
        for way in &ways {
            if let Some(egress) = way.egress {
                egress.path.prefetch();
                egress.streams_out.prefetch();
                egress.egress.prefetch(&self.outbounds, 0);
            }
            self.prefetch_inbound(way.ingress, 1);
        }
        for step in [1, 2] {
            for egress in ways.iter().filter_map(|way| way.egress) {
                egress.egress.prefetch(&self.outbounds, step);
            }
        }
    }

    fn prefetch_inbound(&self, transport: &Transport, step: usize) {
        if let Ingress::Keyed { context, .. } = transport.ingress {
            self.inbounds.get(context).into_iter().for_each(|inbound| inbound.prefetch(step));
        }
    }
}
