Creator "igraph version 1.0.0 Mon Nov 30 01:34:30 2026"
Version 1
graph
[
  directed 1
  node
  [
    id 0
    name "STAT1"
  ]
  node
  [
    id 1
    name "IRF1"
  ]
  node
  [
    id 2
    name "GBP1"
  ]
  node
  [
    id 3
    name "MYC"
  ]
  node
  [
    id 4
    name "MAX"
  ]
  edge
  [
    source 0
    target 1
  ]
  edge
  [
    source 0
    target 2
  ]
  edge
  [
    source 3
    target 4
  ]
]
