//! One file per API or family of APIs: conversion from the wire, a call to the node, conversion back.

pub(crate) mod api_versions;
pub(crate) mod fetch;
pub(crate) mod metadata;
pub(crate) mod produce;
