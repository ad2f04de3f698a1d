//! Faults that operators meet, induced from the description to the packet, and the causes that are named. Each begins
//! with a call that is well and is said to be, or says so of the direction that the fault does not touch.

mod bench;
mod echo;
mod keys;
mod quality;
mod ways;
