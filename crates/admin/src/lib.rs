//! HTTP for operators: metrics, health and calls.
