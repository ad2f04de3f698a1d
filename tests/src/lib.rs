//! Real peers, endpoints and scenarios that test the relay from outside.
