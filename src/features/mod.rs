//! Values kept per entity over time windows.
