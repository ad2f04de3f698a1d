//! A batch's state is asked for before the batch is dealt with.

use arrayvec::ArrayVec;
use datagram::{BATCH_CAPACITY, Datagram};
use prefetch::prefetch;

use super::Shard;
use crate::transport::Ingress;

/// Where a packet comes in and where it probably leaves.
type Way = (usize, Option<usize>);

impl Shard {
    /// Asks for the memory that a batch of RTP on its usual way needs. State hangs on state, so it goes in steps, and in
    /// each of them the packets' pieces of memory come side by side. Changes nothing.
    pub(super) fn prefetch(&self, datagrams: &[Datagram]) {
        // A single packet would wait just the same.
        if datagrams.len() < 2 {
            return;
        }
        let mut ways: ArrayVec<Way, BATCH_CAPACITY> = ArrayVec::new();
        ways.extend(
            datagrams
                .iter()
                .take(BATCH_CAPACITY)
                .filter_map(|datagram| Some((self.ports.slot(datagram.port())?, None))),
        );
        for &(slot, _) in &ways {
            self.transports.get(slot).into_iter().for_each(|transport| transport.prefetch_ingress());
        }
        for &(slot, _) in &ways {
            let Some(transport) = self.transports.get(slot) else { continue };
            transport.path.prefetch();
            transport.streams_in.prefetch();
            prefetch(transport.routes.as_slice(), size_of::<crate::route::Route>());
            if let Ingress::Keyed { context, .. } = transport.ingress {
                self.inbounds.prefetch(context);
            }
        }
        for (slot, egress) in &mut ways {
            let Some(transport) = self.transports.get(*slot) else { continue };
            *egress = transport.routes.first().and_then(|route| route.egress);
            egress.and_then(|egress| self.transports.get(egress)).into_iter().for_each(|next| next.prefetch_egress());
            self.prefetch_ingress(transport.ingress, 0);
        }
        for step in 0..3 {
            for &(slot, egress) in &ways {
                if let Some(next) = egress.and_then(|egress| self.transports.get(egress)) {
                    next.egress.prefetch(&self.outbounds, step);
                    if step == 0 {
                        next.path.prefetch();
                        next.streams_out.prefetch();
                    }
                }
                if let (0, Some(transport)) = (step, self.transports.get(slot)) {
                    self.prefetch_ingress(transport.ingress, 1);
                }
            }
        }
    }

    fn prefetch_ingress(&self, ingress: Ingress, step: usize) {
        if let Ingress::Keyed { context, .. } = ingress {
            self.inbounds.get(context).into_iter().for_each(|inbound| inbound.prefetch(step));
        }
    }
}
