// Counts what vitest reports, so that nothing that did not run can look as if it had passed.

export interface Tally {
  passed: number;
  failed: number;
  /** What failed and why something else counts as failed, for the end of a long log. */
  remarks: string[];
}

interface AssertionResult {
  fullName: string;
  status: string;
}

interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { name: string; status: string; assertionResults: AssertionResult[] }[];
}

/**
 * Counts one run of vitest: `text` is its JSON report, `code` its exit code. A skipped test counts as failed unless
 * the run was narrowed to tests of certain names, a file that could not be loaded as one failed test, and so does an
 * error outside of any test.
 */
export function tally(text: string | undefined, code: number, narrowed: boolean): Tally {
  const report = parse(text);
  if (report === undefined) return { passed: 0, failed: 1, remarks: [`vitest wrote no report (exit code ${code}).`] };
  const skipped = narrowed ? 0 : report.numPendingTests + report.numTodoTests;
  const unloaded = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
  const counted = { passed: report.numPassedTests, failed: report.numFailedTests + skipped + unloaded.length };
  const remarks = [...failures(report), ...unloaded.map((file) => `${file.name} could not be loaded.`)];
  if (skipped > 0) remarks.push(`${skipped} tests were skipped: a test runs, or goes.`);
  if (code === 0 || counted.failed > 0) return { ...counted, remarks };
  return { ...counted, failed: 1, remarks: [`vitest ended with exit code ${code} though no test failed.`] };
}

function failures(report: VitestReport): string[] {
  return report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.filter((test) => test.status === "failed").map((test) => `FAILED  ${name}: ${test.fullName}`),
  );
}

function parse(text: string | undefined): VitestReport | undefined {
  try {
    const report = JSON.parse(text ?? "") as Partial<VitestReport>;
    return Array.isArray(report.testResults) ? (report as VitestReport) : undefined;
  } catch {
    return undefined;
  }
}
