"""What does a file hold besides what it shows? One module for each family of formats.

Every examiner reads its format to the end; what it cannot read to the end, it cannot tell. A type
without an examiner does not leave, whatever a policy says.
"""
