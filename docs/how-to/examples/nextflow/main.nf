// Audits every data set of a sample sheet and collects the verdicts on one page.

process AUDIT {
    tag "${name}"
    publishDir "${params.outdir}/audits", mode: 'copy'

    input:
    tuple val(name), path(expression), path(samples), val(options)

    output:
    path "${name}"

    script:
    def table = samples ? "--samples ${samples}" : ''
    """
    poolproof audit ${expression} ${table} ${options} --out ${name} --threads ${task.cpus} \\
        --memory ${task.memory.toMega()}M --quiet --json > audit.json
    """
}

process COLLECT {
    publishDir "${params.outdir}", mode: 'copy'

    input:
    path audits

    output:
    path 'summary'

    script:
    """
    poolproof collect ${audits} --out summary --quiet
    """
}

workflow {
    datasets = channel.fromPath(params.sheet, checkIfExists: true)
        .splitCsv(header: true)
        .map { row ->
            def samples = row.samples ? file(row.samples, checkIfExists: true) : []
            tuple(row.name, file(row.input, checkIfExists: true), samples, row.options)
        }
    audits = AUDIT(datasets)
    COLLECT(audits.collect())
}
