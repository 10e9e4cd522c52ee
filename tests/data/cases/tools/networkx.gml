graph [
  directed 1
  node [
    id 0
    label "STAT1"
  ]
  node [
    id 1
    label "IRF1"
  ]
  node [
    id 2
    label "GBP1"
  ]
  node [
    id 3
    label "MYC"
  ]
  node [
    id 4
    label "MAX"
  ]
  edge [
    source 0
    target 1
  ]
  edge [
    source 0
    target 2
  ]
  edge [
    source 3
    target 4
  ]
]
