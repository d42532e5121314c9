//! pacmesh.
