//! Call table, offer/answer negotiation and port policy.
